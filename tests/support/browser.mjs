// A real browser that opens pages of a test's own server, under whatever names the test gives to this machine.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';

import { temporaryFolder } from './gateway.mjs';
import { within } from './wait.mjs';

const kPrograms = ['chromium-headless-shell', 'chromium', 'google-chrome'];

function browserProgram() {
  const folders = (process.env.PATH ?? '').split(':');
  const found = kPrograms.flatMap((name) => folders.map((folder) => path.join(folder, name))).find((file) => fs.existsSync(file));
  assert.ok(found, `No browser is installed (${kPrograms.join(', ')}). Run ./test, which installs one first.`);
  return found;
}

// Its helpers, too, which would outlive it.
function stopGroup(browser) {
  try {
    process.kill(-browser.pid, 'SIGKILL');
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

export class Pages {
  // Answers every page of every name with a script that hands what it found back.
  static async open() {
    const pages = new Pages();
    pages.waiting = new Map();
    pages.scripts = new Map();
    pages.server = http.createServer((request, response) => pages.answer(request, response));
    await new Promise((resolve) => pages.server.listen(0, '127.0.0.1', resolve));
    pages.port = pages.server.address().port;
    return pages;
  }

  answer(request, response) {
    const { pathname } = new URL(request.url, 'http://x');
    const id = pathname.slice(1);
    if (request.method === 'POST') {
      let text = '';
      request.setEncoding('utf8').on('data', (piece) => { text += piece; }).on('end', () => {
        response.end();
        this.waiting.get(id)?.(JSON.parse(text));
      });
      return;
    }
    if (!this.scripts.has(id)) return response.writeHead(404).end();
    response.setHeader('content-type', 'text/html; charset=utf-8');
    response.end(`<!doctype html><title>${id}</title><script type="module">
      const found = await (async () => { ${this.scripts.get(id)} })().catch((error) => ({ failed: String(error) }));
      await fetch('/${id}', { method: 'POST', body: JSON.stringify(found) });
    </script>`);
  }

  // Runs the body of an async function in a page of the origin `http://HOST:port`, and returns what it returns.
  async run(host, script) {
    const id = `page${this.scripts.size}`;
    this.scripts.set(id, script);
    const folder = temporaryFolder();
    const browser = spawn(browserProgram(), [
      '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', `--user-data-dir=${folder}`,
      '--host-resolver-rules=MAP *.example 127.0.0.1', `http://${host}:${this.port}/${id}`,
    ], { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, HOME: folder }, detached: true });
    let complaints = '';
    browser.stderr.setEncoding('utf8').on('data', (text) => { complaints += text; });
    const ended = new Promise((resolve) => browser.once('exit', resolve));
    try {
      const early = ended.then((status) => { throw new Error(`the browser ended early (${status}): ${complaints.slice(-1000)}`); });
      early.catch(() => {});
      return await within('what the page found', Promise.race([new Promise((resolve) => this.waiting.set(id, resolve)), early]), 60_000);
    } finally {
      stopGroup(browser);
      await ended;
      browser.stderr.destroy();
      fs.rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    }
  }

  origin(host) {
    return `http://${host}:${this.port}`;
  }

  async close() {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
