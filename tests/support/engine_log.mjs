// The scripted engine's event log: one JSON line per event, from all workers of a gateway.
import fs from 'node:fs';

import { waitUntil } from './wait.mjs';

export class EngineLog {
  constructor(file) {
    this.file = file;
  }

  events() {
    if (!fs.existsSync(this.file)) return [];
    const text = fs.readFileSync(this.file, 'utf8');
    return text.slice(0, text.lastIndexOf('\n') + 1).split('\n').filter(Boolean).map((line) => JSON.parse(line));
  }

  find(event, fields = {}) {
    return this.events().filter((seen) => seen.event === event && Object.entries(fields).every(([key, value]) => seen[key] === value));
  }

  async waitFor(event, fields = {}, options = {}) {
    return waitUntil(`the engine logs ${event} ${JSON.stringify(fields)}`, () => this.find(event, fields)[0], options);
  }
}
