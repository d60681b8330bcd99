import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Run, readConfig } from '../../src/main/config.ts';
import { warningsOf } from '../../src/main/warnings.ts';

const remote = 'postgres://orderly:hunter2@db.example:5432/orderly';

describe('a warning about the settings', () => {
  it('is not given for what stays on this machine, nor for what is encrypted', () => {
    assert.deepEqual(warningsIn({}), []);
    const local = {
      DATABASE_URL: 'postgres://orderly:hunter2@127.0.0.1/orderly',
      BUS: 'redis',
      REDIS_URL: 'redis://:hunter2@localhost:6379',
      SEARCH: 'elasticsearch',
      ELASTICSEARCH_URL: 'http://elastic:hunter2@[::1]:9200',
    };
    assert.deepEqual(warningsIn(local), []);
    for (const socket of ['postgres:///orderly?host=/var/run/postgresql', 'postgres://u:p@%2Fvar%2Frun/orderly']) {
      assert.deepEqual(warningsIn({ DATABASE_URL: socket }), []);
    }
    for (const query of ['?sslmode=verify-full', '?sslmode=no-verify', '?ssl=true', '?sslrootcert=ca.pem']) {
      assert.deepEqual(warningsIn({ DATABASE_URL: `${remote}${query}` }), [], query);
    }
    assert.deepEqual(warningsIn({ DATABASE_URL: remote, PGSSLMODE: 'require' }), []);
    const OTEL_EXPORTER_OTLP_HEADERS = 'api-key=hunter2';
    for (const OTEL_EXPORTER_OTLP_ENDPOINT of ['https://traces.example:4318', 'http://localhost:4318']) {
      assert.deepEqual(warningsIn({ OTEL_EXPORTER_OTLP_HEADERS, OTEL_EXPORTER_OTLP_ENDPOINT }), []);
    }
    const sasl = { KAFKA_SASL_USERNAME: 'u', KAFKA_SASL_PASSWORD: 'hunter2', BUS: 'kafka', KAFKA_BROKERS: 'k:9092' };
    assert.deepEqual(warningsIn({ ...sasl, KAFKA_SASL_MECHANISM: 'PLAIN', KAFKA_SSL: 'true' }), []);
    assert.deepEqual(warningsIn({ ...sasl, KAFKA_SASL_MECHANISM: 'SCRAM-SHA-256' }), []);
  });

  it('names each setting by which a password or an order leaves the machine in the clear', () => {
    const cases: [env: Record<string, string>, name: string][] = [
      [{ HOST: '0.0.0.0' }, 'HOST'],
      [{ DATABASE_URL: remote }, 'DATABASE_URL'],
      [{ DATABASE_URL: `${remote}?sslmode=disable` }, 'DATABASE_URL'],
      [{ BUS: 'redis', REDIS_URL: 'redis://:hunter2@cache.example:6379' }, 'REDIS_URL'],
      [{ SEARCH: 'elasticsearch', ELASTICSEARCH_URL: 'http://elastic:hunter2@search.example' }, 'ELASTICSEARCH_URL'],
      [{ PARTNERS_URL: 'http://u:hunter2@partners.example' }, 'PARTNERS_URL'],
      [{ BUS: 'sqs', AWS_ENDPOINT_URL_SQS: 'http://u:hunter2@sqs.example' }, 'AWS_ENDPOINT_URL_SQS'],
      [
        {
          BUS: 'kafka',
          KAFKA_BROKERS: '127.0.0.1:1,k.example:9092',
          KAFKA_SASL_MECHANISM: 'PLAIN',
          KAFKA_SASL_USERNAME: 'u',
          KAFKA_SASL_PASSWORD: 'hunter2',
        },
        'KAFKA_SASL_MECHANISM',
      ],
      [
        {
          OTEL_EXPORTER_OTLP_ENDPOINT: 'http://traces.example:4318',
          OTEL_EXPORTER_OTLP_HEADERS: 'api-key=hunter2',
        },
        'OTEL_EXPORTER_OTLP_HEADERS',
      ],
      [{ SMTP_URL: 'smtp://u:hunter2@mail.example?requireTLS=false', MAIL_FROM: 'a@b.example' }, 'SMTP_URL'],
    ];
    for (const [env, name] of cases) {
      const [warning = '', ...more] = warningsIn(env);
      assert.ok(warning.startsWith(name), `${name}: ${warning}`);
      assert.deepEqual(more, []);
      assert.doesNotMatch(warning, /hunter2/);
    }
  });

  it('names the token that a command shows to an API on another machine without TLS', () => {
    const OPERATOR_TOKEN = 'hunter2-hunter2-1';
    for (const run of ['show', 'dlq', 'pause', 'resume'] as const) {
      const warning = warningsIn({ OPERATOR_TOKEN, ORDERLY_URL: 'http://orders.example' }, run).join();
      assert.match(warning, /^ORDERLY_URL: .* in the clear: use https/);
      assert.doesNotMatch(warning, /hunter2/);
      for (const ORDERLY_URL of ['https://orders.example', 'http://[::1]:3000']) {
        assert.deepEqual(warningsIn({ OPERATOR_TOKEN, ORDERLY_URL }, run), []);
      }
      assert.deepEqual(warningsIn({ ORDERLY_URL: 'http://orders.example' }, run), []);
    }
  });

  it('is given by relay and workers whose metrics anybody may read', () => {
    const apart = { HOST: '0.0.0.0', BUS: 'kafka', DATABASE_URL: 'postgres://127.0.0.1/orderly' };
    for (const run of ['relay', 'worker'] as const) {
      assert.match(warningsIn(apart, run).join(), /^HOST=0\.0\.0\.0: .*metrics.*: set OPERATOR_TOKEN$/);
      assert.deepEqual(warningsIn({ ...apart, OPERATOR_TOKEN: 'hunter2-hunter2-1' }, run), []);
      assert.deepEqual(warningsIn({ ...apart, HOST: '127.0.0.1' }, run), []);
    }
  });

  it('concerns the address that migrate uses as well', () => {
    const env = { DATABASE_URL: `${remote}?sslmode=verify-full`, MIGRATE_DATABASE_URL: remote };
    assert.match(warningsIn(env, 'migrate').join(), /^MIGRATE_DATABASE_URL: /);
  });
});

function warningsIn(env: Record<string, string>, run: Run = 'start'): string[] {
  const reading = readConfig(env, run);
  assert.ok(reading.ok, JSON.stringify(reading));
  return warningsOf(reading.config, run);
}
