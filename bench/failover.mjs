// How soon another server answers in the place of one that fails before its first byte.
//
//   node bench/failover.mjs        after ./test or ./run has built build/release
import { startBefore, ScriptedServer, status } from '../tests/support/outside.mjs';
import { monotonicNs, percentile } from '../tests/support/wait.mjs';

const kRounds = 120;
const faults = {
  'answers 500': status(500),
  'closes without an answer': (request, response) => response.destroy(),
  'says 429': status(429, { 'retry-after': '1' }),
};

const rows = [];
for (const [name, behave] of Object.entries(faults)) rows.push([name, await measure(behave)]);
rows.push(['takes no connection', await measure(undefined)]);

console.log('\n| a server that … | n | median ms from its failure to the next server | worst ms |\n| --- | --- | --- | --- |');
for (const [name, times] of rows) {
  const sorted = times.sort((a, b) => a - b);
  console.log(`| ${name} | ${sorted.length} | ${percentile(sorted, 0.5).toFixed(2)} | ${sorted.at(-1).toFixed(2)} |`);
}

// From the failure to the moment in which the other server has the request. Where nobody takes a connection there is no
// moment of failure to be seen: it is counted from the client's sending, the first time.
async function measure(behave) {
  const times = [];
  let failed;
  const spare = await ScriptedServer.start();
  const good = spare.behave;
  spare.behave = (...all) => {
    if (failed !== undefined) times.push(Number(monotonicNs() - failed) / 1e6);
    failed = undefined;
    good(...all);
  };
  for (let i = 0; i < kRounds; i += 4) {
    const bad = await ScriptedServer.start();
    bad.behave = (...all) => {
      failed = monotonicNs();
      behave(...all);
    };
    const gateway = await startBefore({ bad: { kind: 'openai', url: bad.url }, spare: { kind: 'openai', url: spare.url } }, [{ model: 'm', server: 'bad' }, { model: 'n', server: 'spare' }]);
    if (behave === undefined) await bad.close();
    for (let k = 0; k < 4; ++k) {
      if (behave === undefined && k === 0) failed = monotonicNs();
      const answer = await gateway.generate({ prompt: 'Hello', model: 'technical', stream: false });
      if (answer.status !== 200) throw new Error(`${answer.status} ${answer.text}`);
      failed = undefined;
    }
    if (behave !== undefined) await bad.close();
    await gateway.dispose();
  }
  await spare.close();
  return times;
}
