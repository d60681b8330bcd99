import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Config, type Run, readConfig, roles } from '../../src/main/config.ts';
import { helpText } from '../../src/main/help.ts';
import { settingGroups } from '../../src/main/settings.ts';

describe('the settings', () => {
  it('have a default each, so that an empty environment starts', () => {
    const config = read({});
    assert.deepEqual(config.http, {
      host: '127.0.0.1',
      port: 3000,
      allowedHosts: [],
      docs: true,
      console: true,
      url: null,
      operators: [],
    });
    assert.equal(config.workerPort, null);
    assert.equal(config.database.url, null);
    assert.equal(config.dataDir, '.orderly/data');
    assert.equal(config.bus.kind, 'memory');
    assert.deepEqual(config.bus.kafka, {
      brokers: ['127.0.0.1:9092'],
      layout: 'by-stream',
      partitions: 6,
      groupProtocol: 'consumer',
      instanceId: null,
      tls: false,
      sasl: null,
    });
    assert.deepEqual(config.bus.redis, { url: 'redis://127.0.0.1:6379' });
    assert.deepEqual(config.bus.sqs, { endpoint: null, region: 'us-east-1', prefix: 'orderly-', fifo: true });
    assert.deepEqual(config.partners, { url: null, sandboxPort: 4000 });
    assert.equal(config.worker.maxRetries, 3);
    assert.equal(config.worker.leaseMs, 30_000);
    assert.equal(config.idempotencyKeyMode, 'optional');
    assert.deepEqual(config.retention, { idempotencyHours: 168, days: 30 });
    assert.equal(config.shutdownTimeoutMs, 10_000);
    assert.equal(config.logLevel, 'info');
  });

  it('are one record that nobody can change, at any depth', () => {
    const isFrozen = (value: unknown): boolean =>
      typeof value !== 'object' || value === null || (Object.isFrozen(value) && Object.values(value).every(isFrozen));
    assert.ok(isFrozen(read({ DATABASE_URL: 'postgres://localhost/orderly' })));
  });

  it('leave alone what Kubernetes tells a container about Services of the names orderly, worker and sandbox', () => {
    const told: Record<string, string> = {};
    for (const service of ['ORDERLY', 'ORDERLY_API', 'ORDER_WORKER', 'WORKER', 'SANDBOX']) {
      Object.assign(told, {
        [`${service}_SERVICE_HOST`]: '10.96.7.1',
        [`${service}_SERVICE_PORT`]: '3000',
        [`${service}_SERVICE_PORT_HTTP`]: '3000',
        [`${service}_PORT`]: 'tcp://10.96.7.1:3000',
        [`${service}_PORT_3000_TCP`]: 'tcp://10.96.7.1:3000',
        [`${service}_PORT_3000_TCP_PROTO`]: 'tcp',
        [`${service}_PORT_3000_TCP_PORT`]: '3000',
        [`${service}_PORT_3000_TCP_ADDR`]: '10.96.7.1',
      });
    }
    told.ORDERLY_V6_PORT = 'tcp://[fd00::1]:3000';
    assert.deepEqual(read(told), read({}));
    assert.equal(mistakes({ ORDERLY_PORT: '3000' }).length, 1, 'what a person wrote is none of it');
    assert.equal(mistakes({ WORKER_PORT: 'tcp://worker' }).length, 1);
  });

  it('take what the environment says', () => {
    const config = read({ PORT: '0', ORDER_WORKER_FAILURE_PROBABILITY: '.25', IDEMPOTENCY_KEY_MODE: 'required' });
    assert.equal(config.http.port, 0);
    assert.equal(config.worker.failureProbability, 0.25);
    assert.equal(config.idempotencyKeyMode, 'required');
    const { kafka, sqs } = read({ KAFKA_BROKERS: 'one:1, two:2', KAFKA_SSL: 'true', SQS_FIFO: 'false' }).bus;
    assert.deepEqual([kafka.brokers, kafka.tls, sqs.fifo], [['one:1', 'two:2'], true, false]);
  });

  it('leave the names of others alone', () => {
    assert.deepEqual(read({ REDIS_PORT: 'tcp://10.0.0.1:6379', ORDERS: 'x', ORDER_WORKERS: 'x' }), read({}));
  });

  it('let migrate reach the database by a URL of its own', () => {
    const own = { DATABASE_URL: 'postgres://pooler/orderly', MIGRATE_DATABASE_URL: 'postgres://direct/orderly' };
    assert.equal(read(own).database.url, own.DATABASE_URL);
    assert.equal(read(own).database.migrateUrl, own.MIGRATE_DATABASE_URL);
    assert.equal(read({ DATABASE_URL: own.DATABASE_URL }).database.migrateUrl, own.DATABASE_URL);
  });
});

describe('a mistake in the settings', () => {
  it('is named with its value and what is allowed', () => {
    assert.deepEqual(mistakes({ PORT: '70000' }), ['PORT="70000": must be a whole number from 0 to 65535']);
    for (const PORT of ['-1', '1.5', '1e3', '0x10', 'http']) assert.equal(mistakes({ PORT }).length, 1, PORT);
    for (const ORDER_WORKER_FAILURE_PROBABILITY of ['1.01', '-0.1', '50%', 'often']) {
      assert.match(mistakes({ ORDER_WORKER_FAILURE_PROBABILITY })[0] ?? '', /must be a number from 0 to 1/);
    }
  });

  it('is a name that is set to nothing, whichever it is', () => {
    const { 'Traces (OpenTelemetry)': unsetByNothing = {}, ...others } = settingGroups;
    for (const name of Object.keys(unsetByNothing)) assert.deepEqual(mistakes({ [name]: ' ' }), [], name);
    for (const name of Object.values(others).flatMap((group) => Object.keys(group))) {
      for (const nothing of ['', ' ']) {
        const [line = '', ...more] = mistakes({ [name]: nothing });
        assert.equal(line, `${name}="": is set, but to nothing: give it a value, or take it out of the environment`);
        assert.deepEqual(more, []);
      }
    }
    assert.equal(mistakes({ ORDER_WORKER_NONSENSE: '' }).length, 1);
  });

  it('does not hide another: all are listed at once', () => {
    const found = mistakes({ PORT: 'x', LOG_LEVEL: 'loud', ORDER_WORKER_LEASE_MS: '1000', ORDERLY_FOO: '1' });
    assert.deepEqual(
      found.map((line) => line.split(/[=:]/)[0]),
      ['ORDERLY_FOO', 'PORT', 'LOG_LEVEL', 'ORDER_WORKER_TIMEOUT_MS'],
    );
  });

  it('in a name of ours comes with the name that was meant', () => {
    const meant = (name: string) => /did you mean (\w+)\?$/.exec(mistakes({ [name]: '1' })[0] ?? '')?.[1];
    assert.equal(meant('ORDER_WORKER_MAX_RETRY'), 'ORDER_WORKER_MAX_RETRIES');
    assert.equal(meant('ORDER_WORKER_TIMEOUT'), 'ORDER_WORKER_TIMEOUT_MS');
    assert.equal(meant('ORDERLY_DATADIR'), 'ORDERLY_DATA_DIR');
    assert.equal(meant('ORDER_WORKER_COLOR_OF_THE_SKY'), undefined);
  });

  it('in a word comes with the word that was meant', () => {
    assert.match(mistakes({ LOG_LEVEL: 'warning' })[0] ?? '', /trace \| debug .*; did you mean warn\?$/);
    assert.match(mistakes({ LOG_LEVEL: 'INFO' })[0] ?? '', /did you mean info\?$/);
    assert.match(mistakes({ IDEMPOTENCY_KEY_MODE: 'require' })[0] ?? '', /did you mean required\?$/);
  });

  it('in the choice of a bus says which ones there are', () => {
    assert.deepEqual(mistakes({ BUS: 'carrier-pigeon' }), [
      'BUS="carrier-pigeon": must be memory | kafka | redis | sqs',
    ]);
    assert.deepEqual(mistakes({ BUS: 'kafak' }), [
      'BUS="kafak": must be memory | kafka | redis | sqs; did you mean kafka?',
    ]);
  });

  it('is what a role lacks that works beside other processes', () => {
    for (const run of ['api', 'relay', 'worker', 'start --processes'] as const) {
      const lacking = mistakes({}, run);
      assert.equal(lacking.length, 2, lacking.join('\n'));
      assert.match(lacking[0] ?? '', /^DATABASE_URL: must be set for/);
      assert.match(lacking[1] ?? '', /^BUS="memory": must be kafka \| redis \| sqs for/);
      assert.deepEqual(mistakes({ BUS: 'redis', DATABASE_URL: 'postgres://host/orderly' }, run), []);
    }
    assert.deepEqual(mistakes({ BUS: 'kafka' }), [], 'one process may have any bus');
  });

  it('in the address of a broker is found at the start, not by a client in the middle of the work', () => {
    for (const KAFKA_BROKERS of ['one', 'one:0', 'one:65536', 'one:99999', 'one:1,', 'kafka://one:1']) {
      assert.match(mistakes({ KAFKA_BROKERS })[0] ?? '', /^KAFKA_BROKERS=.*: must be host:port, /, KAFKA_BROKERS);
    }
    assert.deepEqual(mistakes({ KAFKA_BROKERS: 'one:65535' }), []);
    for (const path of ['/orders', '/1/2', '/0x1']) {
      assert.match(mistakes({ REDIS_URL: `redis://host:6379${path}` })[0] ?? '', /must be a URL such as redis:/, path);
    }
    for (const path of ['', '/', '/15', '/0?family=6']) {
      assert.deepEqual(mistakes({ REDIS_URL: `redis://host:6379${path}` }), [], path);
    }
  });

  it('in a parameter of a URL is told where nobody would read it', () => {
    const refused: [name: string, url: string, rule: RegExp][] = [
      ['SMTP_URL', 'smtp://mail.example?requireTls=true', /takes the parameter requireTLS=true\|false, and no other/],
      ['SMTP_URL', 'smtp://mail.example?requireTLS=yes', /requireTLS=true\|false/],
      ['SMTP_URL', 'smtp://mail.example?pool=true', /requireTLS=true\|false/],
      ['DATABASE_URL', 'postgres://h/d?sslmod=require', /"sslmod", which nobody reads; did you mean sslmode\?/],
      ['ELASTICSEARCH_URL', 'http://search.example?ssl=true', /"ssl", and takes none/],
      ['PARTNERS_URL', 'http://partners.example?key=hunter2', /"key", and takes none/],
      ['ORDERLY_URL', 'https://orders.example?token=hunter2', /"token", and takes none/],
      ['REDIS_URL', 'redis://cache.example?tls=true', /takes the parameter family=0\|4\|6, and no other/],
      ['REDIS_URL', 'redis://cache.example?password=hunter2', /family=0\|4\|6/],
    ];
    for (const [name, url, rule] of refused) {
      const [line = '', ...more] = mistakes({
        [name]: url,
        ...(name === 'SMTP_URL' ? { MAIL_FROM: 'a@b.example' } : {}),
      });
      assert.match(line, rule);
      assert.ok(line.startsWith(`${name}=`) && more.length === 0);
      assert.doesNotMatch(line, /hunter2/);
    }
    const DATABASE_URL =
      'postgres://h/d?sslmode=verify-full&sslrootcert=ca.pem&application_name=shop&channel_binding=prefer';
    assert.deepEqual(mistakes({ DATABASE_URL }), []);
    assert.deepEqual(mistakes({ SMTP_URL: 'smtp://mail.example?requireTLS=true', MAIL_FROM: 'a@b.example' }), []);
  });

  it('may be half of a signature to Kafka', () => {
    const whole = { KAFKA_SASL_MECHANISM: 'PLAIN', KAFKA_SASL_USERNAME: 'u', KAFKA_SASL_PASSWORD: 'hunter2' };
    const { sasl } = read(whole).bus.kafka;
    assert.deepEqual(sasl, { mechanism: 'PLAIN', username: 'u', password: 'hunter2' });
    for (const name of Object.keys(whole)) {
      const { [name as keyof typeof whole]: _, ...half } = whole;
      const [line = '', ...more] = mistakes(half);
      assert.deepEqual(more, []);
      assert.match(line, /^KAFKA_SASL_MECHANISM, .* must be set all three, or none$/);
      assert.doesNotMatch(line, /hunter2/);
    }
  });

  it('never shows a password', () => {
    const secrets = [
      'mysql://orderly:hunter2@host:3306/orderly?password=hunter2',
      'postgres://orderly:hunter2#x@host/orderly',
      'postgres://orderly:hunter2%zz@host/orderly',
      'orderly:hunter2',
      'hunter2',
    ];
    for (const value of secrets) {
      for (const name of [
        'DATABASE_URL',
        'MIGRATE_DATABASE_URL',
        'PARTNERS_URL',
        'REDIS_URL',
        'AWS_ENDPOINT_URL_SQS',
      ]) {
        const [line = '', ...more] = mistakes({ [name]: value });
        assert.ok(line.startsWith(`${name}=`) && more.length === 0, `${name}=${value}: ${line}`);
        assert.doesNotMatch(line, /hunter2/);
      }
    }
    assert.doesNotMatch(mistakes({ HOST: 'http://orderly:hunter2@host' }).join(), /hunter2/);
    assert.doesNotMatch(mistakes({ ORDERLY_PASSWORD: 'hunter2' }).join(), /hunter2/);
    const alone = mistakes({ MIGRATE_DATABASE_URL: 'postgres://orderly:hunter2@host/orderly' });
    assert.match(alone.join(), /^MIGRATE_DATABASE_URL=postgres:\/\/\*\*\*@host\/orderly: needs DATABASE_URL/);
  });

  it('names what is wrong with the tokens of the operators, and shows none', () => {
    const operators = (OPERATOR_TOKEN: string) => {
      const reading = readConfig({ OPERATOR_TOKEN }, 'start');
      assert.ok(reading.ok);
      assert.doesNotMatch(JSON.stringify(reading.shown), /hunter2/);
      return reading.config.http.operators;
    };
    const [one, two] = ['hunter2-hunter2-1', 'hunter2-hunter2-2'];
    assert.deepEqual(operators(one), [{ name: 'operator', token: one }]);
    assert.deepEqual(operators('aHVudGVyMmh1bnRlcjI=='), [{ name: 'operator', token: 'aHVudGVyMmh1bnRlcjI==' }]);
    assert.deepEqual(operators(`ann=${one}, bob=${two}`), [
      { name: 'ann', token: one },
      { name: 'bob', token: two },
    ]);
    for (const given of ['hunter2', `ann=hunter2`, `ann=${one},ann=${two}`, `${one},${two}`, `ann=${one},`]) {
      const [line = '', ...more] = mistakes({ OPERATOR_TOKEN: given });
      assert.deepEqual(more, []);
      assert.match(line, /^OPERATOR_TOKEN=\(not shown\): must be one token/);
      assert.doesNotMatch(line, /hunter2/);
    }
  });

  it('may lie between two settings: a call must end before its lease', () => {
    assert.match(
      mistakes({ ORDER_WORKER_TIMEOUT_MS: '29000' })[0] ?? '',
      /must be more than 1000 below ORDER_WORKER_LEASE_MS/,
    );
    assert.equal(read({ ORDER_WORKER_TIMEOUT_MS: '28999' }).worker.timeoutMs, 28_999);
  });

  it('names the sender that mail needs, and never the password of its server', () => {
    const server = { SMTP_URL: 'smtps://a:hunter2@mail.example:465' };
    assert.deepEqual(read({ ...server, MAIL_FROM: 'Orderly <orders@shop.example>' }).smtp, {
      url: server.SMTP_URL,
      from: 'Orderly <orders@shop.example>',
    });
    assert.equal(read({}).smtp, null);
    const hostile = { ...server, MAIL_FROM: 'orders@shop.example\nBcc: eve@evil.example' };
    for (const given of [server, hostile, { SMTP_URL: 'http://a:hunter2@mail.example' }]) {
      const [line = '', ...more] = mistakes(given);
      assert.deepEqual(more, []);
      assert.match(line, /^(SMTP_URL|MAIL_FROM)=/);
      assert.doesNotMatch(line, /hunter2/);
    }
  });

  it('may lie between two settings: a first delay must not be above the last', () => {
    assert.match(
      mistakes({ ORDER_WORKER_RETRY_DELAY_MS: '60001' })[0] ?? '',
      /ORDER_WORKER_RETRY_DELAY_MAX_MS, which is 60000/,
    );
    assert.equal(read({ ORDER_WORKER_RETRY_DELAY_MS: '60000' }).worker.retryDelayMs, 60_000);
  });

  it('is reported once, not again by a rule between two settings', () => {
    assert.equal(mistakes({ ORDER_WORKER_TIMEOUT_MS: 'long', ORDER_WORKER_LEASE_MS: '1' }).length, 1);
  });
});

describe('the help page', () => {
  it('lists every setting with its default, and the roles of this release alone', () => {
    const lines = helpText().split('\n');
    for (const [name, { initial, meaning }] of Object.values(settingGroups).flatMap(Object.entries)) {
      const line = lines.find((candidate) => candidate.trim().startsWith(`${name} `)) ?? '';
      assert.ok(line.includes(String(initial ?? '–')) && line.endsWith(meaning), `no line for ${name}`);
    }
    const listed = lines.slice(lines.indexOf('Roles') + 1, lines.indexOf('', lines.indexOf('Roles')));
    assert.deepEqual(
      listed.map((line) => line.trim().split(' ')[0]),
      [...roles, 'help'],
    );
  });

  it('fits a terminal of 120 columns', () => {
    assert.deepEqual(
      helpText()
        .split('\n')
        .filter((line) => line.length > 120),
      [],
    );
  });
});

function read(env: NodeJS.ProcessEnv): Config {
  const reading = readConfig(env, 'start');
  assert.ok(reading.ok, reading.ok ? '' : reading.mistakes.join('\n'));
  return reading.config;
}

function mistakes(env: NodeJS.ProcessEnv, run: Run = 'start'): readonly string[] {
  const reading = readConfig(env, run);
  return reading.ok ? [] : reading.mistakes;
}
