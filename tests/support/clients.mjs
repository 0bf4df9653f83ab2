// The official clients, from the folder of the cache in which tools/install_clients.sh put them.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

import { kCache } from './gateway.mjs';

const kLock = fileURLToPath(new URL('../clients/package-lock.json', import.meta.url));
const kSum = crypto.createHash('sha256').update(fs.readFileSync(kLock)).digest('hex');
export const kClients = process.env.GBGREG_CLIENTS ?? path.join(kCache, 'clients', kSum);

// The module of that name. The clients are part of what is tested, so their absence is a failure and not a reason to skip.
export function client(name) {
  return requireClient()(name);
}

// The same for one that can only be imported.
export function importClient(name) {
  return import(pathToFileURL(requireClient().resolve(name)));
}

function requireClient() {
  assert.ok(fs.existsSync(kClients), `${kClients} is missing. Run ./test, which installs the clients first.`);
  return createRequire(path.join(kClients, 'package.json'));
}
