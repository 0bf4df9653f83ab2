// What the gateway holds out: a million answers, two thousand streams at once, ten thousand idle connections, half an
// hour under load.
//
//   node bench/endurance.mjs [--only markers|streams|idle|soak] [--requests 1000000] [--minutes 30]
//
// Each prompt carries a marker that must come back and each token its number, so that an answer that is wrong, mixed up,
// lost or doubled is counted. The soak runs at half of what the same client reached just before with the same number of
// connections, and prints the slope of resident memory over its second half and over all of it. Needs a release build.
import { parseArgs } from 'node:util';

import { Stage } from './gateway/stage.mjs';

const { values: options } = parseArgs({ options: {
  only: { type: 'string' }, requests: { type: 'string', default: '1000000' }, minutes: { type: 'string', default: '30' },
} });

// MB a minute, by least squares.
function slope(samples) {
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [minutes, megabytes] = [mean(samples.map((sample) => sample.minute)), mean(samples.map((sample) => sample.mb))];
  const above = mean(samples.map((sample) => (sample.minute - minutes) * (sample.mb - megabytes)));
  return above / mean(samples.map((sample) => (sample.minute - minutes) ** 2));
}

const parts = {
  async markers(stage, gateway) {
    const figures = await stage.load(gateway.port, ['--connections', 256, '--requests', options.requests]);
    return `${figures.requests} requests, 256 connections: ${figures.wrong} wrong or mixed up, ${figures.lost} lost, ${figures.stalled} stalled; ${Math.round(figures.per_second)} a second`;
  },

  async streams(stage, gateway) {
    const tokens = 100;
    const figures = await stage.load(gateway.port, ['--stream', '--connections', 2000, '--requests', 6000, '--tokens', tokens, '--pace-us', 50_000]);
    return `${figures.requests} streams of ${tokens} tokens, 2000 at once: ${figures.wrong} with a token missing, doubled or of another stream, ${figures.lost} broken off; resident ${stage.residentMb(gateway.pid).toFixed(1)} MB`;
  },

  async idle(stage, gateway) {
    const before = stage.residentMb(gateway.pid);
    const most = await stage.residentWhileIdle(gateway.port, 10_000, () => stage.residentMb(gateway.pid));
    return `10000 idle connections: ${((most - before) * 1024 / 10_000).toFixed(2)} KB each (${before.toFixed(1)} -> ${most.toFixed(1)} MB)`;
  },

  async soak(stage, gateway) {
    const full = await stage.load(gateway.port, ['--connections', 64, '--seconds', 10, '--requests', 10_000_000]);
    const rate = Math.round(full.per_second / 2);
    const minutes = Number(options.minutes);
    const samples = [];
    const began = Date.now();
    const look = setInterval(() => samples.push({ minute: (Date.now() - began) / 60_000, mb: stage.residentMb(gateway.pid) }), 5000);
    const figures = await stage.load(gateway.port, ['--connections', 64, '--rate', rate, '--seconds', minutes * 60]);
    clearInterval(look);
    const later = samples.filter((sample) => sample.minute >= minutes / 2);
    return `${minutes} minutes at ${rate} a second: ${figures.requests} requests, ${figures.wrong} wrong, ${figures.lost} lost; resident ${samples[0].mb.toFixed(2)} -> ${samples.at(-1).mb.toFixed(2)} MB, `
      + `slope ${slope(samples).toFixed(4)} MB a minute over all, ${slope(later).toFixed(4)} over the second half`;
  },
};

for (const [name, run] of Object.entries(parts)) {
  if (options.only && options.only !== name) continue;
  const stage = new Stage({ workers: name === 'streams' ? 8 : 2 });
  let isWell = false;
  try {
    console.log(`${name}: ${await run(stage, await stage.startGateway())}`);
    isWell = true;
  } finally {
    await stage.end(isWell);
  }
}
