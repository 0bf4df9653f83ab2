// What happens at twice the capacity. Answers take half a second each, in four slots, so the capacity is eight a second;
// sixteen a second are offered: nine of ten by a greedy caller, one of ten by a modest one. The objective is 2 s.
//
//   node bench/overload.mjs [seconds]     after ./test or ./run has built build/release (GBGREG_BIN, SCRIPTED_ENGINE: others)
//
// Three rounds: nobody comes back; whoever is refused comes back once, when told; and a hundred come at once, of whom each
// comes back when told until it is served.
import http from 'node:http';

import { startScripted } from '../tests/support/gateway.mjs';
import { percentile } from '../tests/support/wait.mjs';

const kSeconds = Number(process.argv[2] ?? 30);
const kSlots = 4;
const kTokens = 20;
const kTokenMs = 25;
const kObjectiveMs = 2000;
const kCapacity = kSlots / ((kTokens * kTokenMs) / 1000);
const kGreedyOf = 10;  // Every so many-th request is the modest caller's.
const kBurst = 100;
const kPromiseMs = 5;

const gateway = await startScripted({
  roles: { technical: null, documentation: null, vision: null, coordinator: { slots: kSlots, objective_ms: kObjectiveMs } },
});
const agent = new http.Agent({ keepAlive: true, maxSockets: Infinity });
try {
  // Until it is measured how long an answer takes, nobody is refused for that.
  await Promise.all(Array.from({ length: kSlots * 2 }, () => ask('warm')));
  await after(500);
  const rows = [
    ['twice the capacity', ...report(await offer({ comesBack: false }))],
    ['… and whoever is refused comes back once', ...report(await offer({ comesBack: true }))],
    [`${kBurst} at once, who come back until they are served`, ...report(await burst())],
  ];
  print(rows);
} finally {
  agent.destroy();
  await gateway.dispose();
}

function after(ms) {
  return new Promise((done) => setTimeout(done, ms));
}

// { caller, status, ms, retryAfter }
function ask(caller) {
  const body = JSON.stringify({ model: 'coordinator', stream: false, prompt: `Hello [[tokens=${kTokens} delay_ms=${kTokenMs}]]` });
  const headers = { authorization: `Bearer ${caller}`, 'content-length': body.length };
  const began = performance.now();
  return new Promise((resolve, reject) => {
    const sent = http.request({ host: '127.0.0.1', port: gateway.port, method: 'POST', path: '/api/generate', headers, agent }, (response) => {
      response.resume();
      response.on('end', () => resolve({
        caller, status: response.statusCode, ms: performance.now() - began, retryAfter: Number(response.headers['retry-after']),
      }));
      response.on('error', reject);
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

// Asks at fixed times, whatever comes of it: clients do not wait for each other.
async function offer({ comesBack }) {
  const began = performance.now();
  const all = [];
  const count = Math.round(kSeconds * kCapacity * 2);
  for (let i = 0; i < count; ++i) {
    await after(Math.max(0, began + (i * 1000) / (kCapacity * 2) - performance.now()));
    all.push(visit(i % kGreedyOf === 0 ? 'modest' : 'greedy', comesBack ? 1 : 0));
  }
  return (await Promise.all(all)).flat();
}

async function burst() {
  return (await Promise.all(Array.from({ length: kBurst }, () => visit('greedy', 100)))).flat();
}

// All that one client goes through.
async function visit(caller, returns) {
  const tries = [{ ...(await ask(caller)), visit: 0 }];
  while (tries.at(-1).status === 429 && tries.length <= returns) {
    await after(tries.at(-1).retryAfter * 1000);
    tries.push({ ...(await ask(caller)), visit: tries.length });
  }
  return tries;
}

function report(answers) {
  const served = answers.filter((answer) => answer.status === 200);
  const refused = answers.filter((answer) => answer.status === 429);
  const strange = answers.length - served.length - refused.length;
  if (strange > 0) throw new Error(`${strange} answers are neither 200 nor 429`);
  const share = (part, all) => (all.length === 0 ? '–' : `${((100 * part.length) / all.length).toFixed(1)} %`);
  const sorted = (list) => list.map((answer) => answer.ms).sort((a, b) => a - b);
  const at = (list, fraction, digits) => (list.length === 0 ? '–' : percentile(sorted(list), fraction).toFixed(digits));
  const firstBy = (caller) => answers.filter((answer) => answer.caller === caller && answer.visit === 0);
  const isServed = (answer) => answer.status === 200;
  const returned = answers.filter((answer) => answer.visit === 1);
  return [
    answers.length,
    share(served, answers),
    share(served.filter((answer) => answer.ms <= kObjectiveMs), served),
    at(served, 0.95, 0),
    `${at(refused, 0.5, 2)} / ${at(refused, 0.99, 2)}`,
    share(refused.filter((answer) => answer.ms <= kPromiseMs), refused),
    share(firstBy('greedy').filter(isServed), firstBy('greedy')),
    share(firstBy('modest').filter(isServed), firstBy('modest')),
    share(returned.filter(isServed), returned),
  ];
}

function print(rows) {
  const heads = ['load', 'requests', 'admitted', `of these within ${kObjectiveMs / 1000} s`, 'p95 ms', 'refused after p50 / p99 ms', `within ${kPromiseMs} ms`,
    'greedy caller served', 'modest caller served', 'admitted when they came back'];
  console.log(`\n| ${heads.join(' | ')} |\n|${' --- |'.repeat(heads.length)}`);
  for (const row of rows) console.log(`| ${row.join(' | ')} |`);
}
