// Records what the management console of etsy's statsd answers, for TestTheConsole…:
//
//   npm install --prefix DIR statsd@0.9.0 && node console.mjs DIR/node_modules/statsd
//
// Node 20 wrote console.txt: a command behind "> ", then its answer.
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { writeFileSync, readFileSync, mkdtempSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const statsd = process.argv[2];
const here = import.meta.dirname;
const port = 20000 + Math.floor(Math.random() * 20000);
const pause = (ms) => new Promise((ok) => setTimeout(ok, ms));
const config = join(mkdtempSync(join(tmpdir(), 'statsd-')), 'config.js');
writeFileSync(config, JSON.stringify({
  port, address: '127.0.0.1', mgmt_port: port + 1, mgmt_address: '127.0.0.1', flushInterval: 3600000, backends: [],
}));
const server = spawn('node', [join(statsd, 'stats.js'), config], { cwd: statsd, stdio: 'inherit' });
await pause(1000);
const socket = createSocket('udp4');
for (const line of readFileSync(join(here, 'console-lines.txt'), 'utf8').trimEnd().split('\n')) {
  await new Promise((ok) => socket.send(line, port, '127.0.0.1', ok));
}
socket.close();
await pause(500);
let out = '';
for (const command of readFileSync(join(here, 'console-commands.txt'), 'utf8').trimEnd().split('\n')) {
  const stream = connect(port + 1, '127.0.0.1');
  let answer = '';
  stream.on('data', (d) => (answer += d));
  stream.write(command + '\n');
  await pause(100);
  stream.end();
  out += '> ' + command + '\n' + answer;
}
writeFileSync(join(here, 'console.txt'), out);
server.kill();
