// Records where the proxy of etsy's statsd sends keys, for TestKeysGoWhereEtsysProxySendsThem:
//
//   npm install --prefix DIR hashring@3.2.0 && node ring.mjs DIR/node_modules/hashring
//
// It writes ring.txt: a line "nodes" for each ring, and below it "key node" lines.
import { createRequire } from 'node:module';
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const HashRing = createRequire(import.meta.url)(resolve(process.argv[2]));
const rings = [
  ['127.0.0.1:8127'],
  ['127.0.0.1:8127', '127.0.0.1:8129'],
  ['127.0.0.1:8127', '127.0.0.1:8129', '127.0.0.1:8131'],
  ['10.1.0.1:8125', '10.1.0.2:8125', '10.1.0.3:8125', '10.1.0.4:8125', '10.1.0.5:8125', '10.1.0.6:8125', '10.1.0.7:8125'],
  ['a.example.org:8125', 'b.example.org:8125', 'c.example.org:8125', 'd.example.org:9125'],
];
const keys = Array.from({ length: 60 }, (_, i) => `addons.view.k${i * 7919}.api.request_time`).concat('a', 'bücher.kauf', '_e', 'x'.repeat(200));

let out = '';
for (const nodes of rings) {
  const ring = new HashRing(Object.fromEntries(nodes.map((n) => [n, 100])), 'md5', { 'max cache size': 10000, replicas: 0 });
  out += `nodes ${nodes.join(' ')}\n`;
  for (const key of keys) out += `${key} ${ring.get(key)}\n`;
}
writeFileSync(join(import.meta.dirname, 'ring.txt'), out);
