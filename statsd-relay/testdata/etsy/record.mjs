// Records what etsy's statsd makes of lines.txt, for TestEtsy…:
//
//   npm install --prefix DIR statsd@0.9.0 && node record.mjs DIR/node_modules/statsd
//
// It writes legacy.txt and modern.txt: what one flush sent to Graphite, without
// times, and without what depends on them.
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { readFileSync, writeFileSync, mkdtempSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const statsd = process.argv[2];
const here = import.meta.dirname;
const lines = readFileSync(join(here, 'lines.txt'), 'utf8').trimEnd().split('\n');
const port = 20000 + Math.floor(Math.random() * 20000);

// Ten lines a datagram, as the test sends them.
const datagrams = [];
for (let i = 0; i < lines.length; i += 10) datagrams.push(lines.slice(i, i + 10).join('\n'));

async function record(name, graphite) {
  const flushes = [];
  const carbon = createServer((c) => {
    let text = '';
    c.on('data', (d) => (text += d));
    c.on('end', () => flushes.push(text));
  });
  await new Promise((ok) => carbon.listen(port, '127.0.0.1', ok));
  const config = join(mkdtempSync(join(tmpdir(), 'statsd-')), 'config.js');
  writeFileSync(config, JSON.stringify({
    port: port + 1, address: '127.0.0.1', mgmt_port: port + 2, mgmt_address: '127.0.0.1', flushInterval: 2000,
    graphiteHost: '127.0.0.1', graphitePort: port, backends: ['./backends/graphite'],
    percentThreshold: [90, 99.9, 50, -10], graphite,
  }));
  const server = spawn('node', [join(statsd, 'stats.js'), config], { cwd: statsd, stdio: 'inherit' });
  while (flushes.length < 1) await new Promise((ok) => setTimeout(ok, 10)); // it is up, and an interval begins
  const socket = createSocket('udp4');
  for (const d of datagrams) await new Promise((ok) => socket.send(d, port + 1, '127.0.0.1', ok));
  while (flushes.length < 2) await new Promise((ok) => setTimeout(ok, 10));
  socket.close();
  server.kill();
  carbon.close();
  const out = flushes[1].trimEnd().split('\n')
    .map((l) => l.split(' ').slice(0, 2).join(' '))
    .filter((l) => !/timestamp_lag|processing_time|graphiteStats/.test(l));
  writeFileSync(join(here, name), out.sort().join('\n') + '\n');
}

await record('legacy.txt', {});
await record('modern.txt', { legacyNamespace: false, globalPrefix: 'amo', prefixTimer: 'times', globalSuffix: 'relay' });
process.exit(0);
