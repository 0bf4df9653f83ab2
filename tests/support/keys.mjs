// Keys, as who runs the gateway makes them: by the program, on the database.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';

import { kGateway } from './gateway.mjs';
import { databaseEnvironment } from './postgres.mjs';
import { waitUntil } from './wait.mjs';

// Runs `gbgreg keys …` on a data folder: { status, stdout, stderr }.
export async function keysCommand(data, ...words) {
  const env = { ...process.env, ...await databaseEnvironment(data) };
  const ended = spawnSync(kGateway, ['keys', ...words, '--data', data], { timeout: 60_000, encoding: 'utf8', env });
  assert.equal(ended.signal, null);
  return ended;
}

// The secret of a new key, and its id.
export async function makeKey(data, name, ...flags) {
  const made = await keysCommand(data, 'create', name, '--json', ...flags);
  assert.equal(made.status, 0, made.stderr);
  const { key, secret } = JSON.parse(made.stdout);
  return { id: key.id, secret };
}

export const bearer = (secret) => ({ authorization: `Bearer ${secret}` });

// Until a gateway that runs knows what the program has written. It is asked without a key first: while it knows of none at
// all it lets everybody in, and counts nothing against a key.
export async function isKnown(gateway, secret, status = 200) {
  const version = async (headers = {}) => (await gateway.get('/api/version', { headers })).status;
  await waitUntil(`the key is answered with ${status}`, async () => await version() === 401 && await version(bearer(secret)) === status);
}
