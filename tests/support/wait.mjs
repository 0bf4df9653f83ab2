// Waiting for what is meant instead of for an amount of time.

// Under the sanitizers everything is several times slower; deadlines grow with it, promises do not change.
export const kPatience = Number(process.env.GBGREG_TEST_PATIENCE ?? 1);
export const kSanitized = process.env.GBGREG_TEST_SANITIZED === '1';

// Asks again until `look` returns something truthy, and returns that. What `look` throws counts as "not yet".
export async function waitUntil(what, look, { deadlineMs = 10_000, everyMs = 10 } = {}) {
  const until = performance.now() + deadlineMs * kPatience;
  for (;;) {
    let last;
    try {
      const seen = await look();
      if (seen) return seen;
    } catch (error) {
      last = error;
    }
    if (performance.now() > until) {
      throw new Error(`Waited ${deadlineMs * kPatience} ms in vain: ${what}.${last ? ` Last: ${last.message}` : ''}`);
    }
    await new Promise((again) => setTimeout(again, everyMs));
  }
}

// The promise's own result, or an error that says what did not come.
export async function within(what, promise, deadlineMs = 10_000) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not come within ${deadlineMs * kPatience} ms.`)), deadlineMs * kPatience);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

// CLOCK_MONOTONIC, the clock of the scripted engine's event log.
export const monotonicNs = () => process.hrtime.bigint();

export function percentile(sorted, fraction) {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * fraction))];
}

// Of what a machine that has other things to do may well need longer for once.
export const median = (numbers) => percentile([...numbers].sort((a, b) => a - b), 0.5);

export function summary(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const ms = (value) => value.toFixed(2);
  return `n=${sorted.length} p50=${ms(percentile(sorted, 0.5))} p95=${ms(percentile(sorted, 0.95))} max=${ms(sorted.at(-1))}`;
}
