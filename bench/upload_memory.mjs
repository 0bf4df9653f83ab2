// How much memory and time a 100 MB upload takes. The promise is less than 16 MB of growth.
//
//   node bench/upload_memory.mjs        after ./test or ./run has built build/release
import { startScripted } from '../tests/support/gateway.mjs';
import { memoryOf, resetPeakMemory } from '../tests/support/processes.mjs';
import { contentType, kUnknownBinaries, largeUpload, postUpload, upload } from '../tests/support/uploads.mjs';

const kMegabyte = 1024 * 1024;
const kBytes = 100 * kMegabyte;
const kRounds = 5;
const kAtOnce = 4;

const gateway = await startScripted({ more: kUnknownBinaries });
try {
  for (let i = 0; i < 8; ++i) await upload(gateway, Buffer.alloc(65_536, `${i}`), `warm-${i}.txt`);
  console.log(`\n| upload | resident before MB | peak MB | growth MB | seconds | MB/s |\n| --- | --- | --- | --- | --- | --- |`);
  for (let round = 0; round < kRounds; ++round) await measure(`100 MB, round ${round + 1}`, 1, round);
  await measure(`100 MB, ${kAtOnce} at once`, kAtOnce, kRounds);
} finally {
  await gateway.dispose();
}

// The client makes its bytes in this process, so the speed is that of client and gateway together.
async function measure(name, count, seed) {
  const uploads = Array.from({ length: count }, (_, i) => largeUpload(kBytes, { seed: seed * 100 + i + 1 }));
  resetPeakMemory(gateway.pid);
  const resident = memoryOf(gateway.pid).VmRSS;
  const begun = performance.now();
  const answers = await Promise.all(uploads.map((one) => postUpload(gateway, one.body(), { headers: { ...contentType(), 'content-length': one.length } })));
  const seconds = (performance.now() - begun) / 1000;
  const peak = memoryOf(gateway.pid).VmHWM;
  for (const [i, answer] of answers.entries()) {
    if (answer.status !== 200 || answer.json().upload.sha256 !== uploads[i].sha256) throw new Error(`upload ${i}: ${answer.status} ${answer.text}`);
  }
  const mb = (bytes) => (bytes / kMegabyte).toFixed(1);
  console.log(`| ${name} | ${mb(resident)} | ${mb(peak)} | ${mb(peak - resident)} | ${seconds.toFixed(2)} | ${((count * 100) / seconds).toFixed(0)} |`);
}
