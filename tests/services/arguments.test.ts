import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readArguments } from '../../services/arguments.ts';
import { exportsOf, maskedExportsOf, settingsOf, tableOf } from '../../services/page.ts';
import { serverNames } from '../../services/server.ts';

describe('the arguments of `npm run services`', () => {
  it('mean every server when they name none, else those that they name', () => {
    const request = { action: 'start', names: serverNames, via: null, ports: {}, exportOnly: false };
    assert.deepEqual(readArguments(['start']), { request });
    const named = readArguments(['stop', 'redis', 'kafka', 'redis']);
    assert.deepEqual(named, { request: { ...request, action: 'stop', names: ['kafka', 'redis'] } });
  });

  it('choose the way, the ports and what is printed', () => {
    const reading = readArguments(['start', '--via', 'packages', '--port', 'kafka=19092', '--port=sqs=1', '--export']);
    assert.ok('request' in reading);
    const { via, ports, exportOnly } = reading.request;
    assert.deepEqual(
      { via, ports, exportOnly },
      { via: 'packages', ports: { kafka: 19092, sqs: 1 }, exportOnly: true },
    );
  });

  const mistakes: readonly (readonly [readonly string[], RegExp])[] = [
    [[], /^Nothing is no command: use start, stop or status\.$/],
    [['restart'], /^"restart" is no command: use start, stop or status\.$/],
    [['start', 'rabbit'], /^There is no server "rabbit": use postgres, kafka, redis, sqs or elasticsearch\.$/],
    [['start', '--via', 'snap'], /^--via snap is no way to run a server: use docker or packages\.$/],
    [['start', '--port', 'kafka'], /^--port kafka names no port/],
    [['start', '--port', 'kafka=0'], /^--port kafka=0 names no port/],
    [['start', '--port', 'kafka=70000'], /^--port kafka=70000 names no port/],
    [['start', '--port', 'rabbit=5672'], /^--port rabbit=5672 names no port/],
    [['start', '--force'], /^Unknown option '--force': see --help\.$/],
  ];
  for (const [args, sentence] of mistakes) {
    it(`are refused in one sentence: ${args.join(' ') || '(none)'}`, () => {
      const reading = readArguments(args);
      assert.ok('mistake' in reading);
      assert.match(reading.mistake, sentence);
    });
  }

  it('ask for a page that names every server', () => {
    for (const args of [['--help'], ['start', '-h'], ['help']]) {
      const reading = readArguments(args);
      assert.ok('help' in reading);
      for (const name of serverNames) assert.match(reading.help, new RegExp(`^  ${name} `, 'm'));
      assert.ok(reading.help.split('\n').every((line) => line.length <= 120));
    }
  });
});

describe('what `npm run services` prints', () => {
  const address = 'postgres://orderly:secret@127.0.0.1:5432/orderly';
  const running = { name: 'postgres', how: 'package', pid: 17, address, why: null } as const;
  const queues = { name: 'sqs', how: 'docker', pid: 18, address: 'http://127.0.0.1:9324', why: null } as const;
  const away = { name: 'redis', how: 'environment', pid: null, address: 'redis://a:b@c:1', why: 'refused' } as const;
  const absent = { name: 'kafka', how: 'none', pid: null, address: null, why: 'not started' } as const;

  it('is a table without passwords', () => {
    assert.equal(
      tableOf([running, away, absent]),
      [
        'server    by           process  address                                      answers',
        'postgres  package      17       postgres://orderly:…@127.0.0.1:5432/orderly  yes',
        'redis     environment  –        redis://a:…@c:1                              no: refused',
        'kafka     –            –        –                                            no: not started',
      ].join('\n'),
    );
  });

  it('is the same lines for a person, without passwords', () => {
    const lines = maskedExportsOf(settingsOf([running], {}));
    assert.equal(lines, "export DATABASE_URL='postgres://orderly:…@127.0.0.1:5432/orderly'");
  });

  it('is a line for the shell per server that answers, with what its client needs besides', () => {
    assert.deepEqual(settingsOf([running, away, absent, queues], { AWS_REGION: 'eu-west-1' }), {
      DATABASE_URL: address,
      AWS_ENDPOINT_URL_SQS: 'http://127.0.0.1:9324',
      AWS_ACCESS_KEY_ID: 'orderly',
      AWS_SECRET_ACCESS_KEY: 'orderly',
    });
    assert.deepEqual(Object.keys(settingsOf([queues], { AWS_PROFILE: 'mine' })), ['AWS_ENDPOINT_URL_SQS']);
    assert.deepEqual(Object.keys(settingsOf([{ ...queues, how: 'environment' }], {})), ['AWS_ENDPOINT_URL_SQS']);
    assert.equal(exportsOf({ A: 'redis://a:1', B: "it's" }), "export A=redis://a:1\nexport B='it'\\''s'");
  });
});
