// Outside servers for tests: real llama-server processes, and one that misbehaves as it is told.
import { spawn } from 'node:child_process';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';

import { kDemoModels, kRealEngine, requireRealEngine, startScripted } from './gateway.mjs';
import { waitUntil, within } from './wait.mjs';

export async function freePort() {
  const server = net.createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export class LlamaServer {
  static async start({ role = 'technical', key, slots = 4, port } = {}) {
    requireRealEngine();
    const server = new LlamaServer();
    server.port = port ?? await freePort();
    server.url = `http://127.0.0.1:${server.port}`;
    const flags = ['--model', path.join(kDemoModels, `demo-${role}.gguf`), '--host', '127.0.0.1', '--port', String(server.port), '--ctx-size', String(2048 * slots),
      '--parallel', String(slots), '--threads', '1', '--threads-http', '16', '--no-webui', ...(key ? ['--api-key', key] : [])];
    server.process = spawn('setpriv', ['--pdeathsig', 'KILL', kRealEngine, ...flags], { stdio: 'ignore' });
    server.exited = new Promise((resolve) => server.process.once('exit', resolve));
    await waitUntil('llama-server is ready', async () => (await fetch(`${server.url}/health`).catch(() => undefined))?.status === 200, { deadlineMs: 30_000 });
    return server;
  }

  async kill() {
    this.process.kill('SIGKILL');
    await within('the end of llama-server', this.exited);
  }
}

// `behave(request, response, body)` answers what is asked of a model; anything else is answered as a healthy server does.
export class ScriptedServer {
  static async start(behave = answerWell) {
    const server = new ScriptedServer();
    Object.assign(server, { behave, asked: [], keys: new Set(), closed: 0 });
    server.http = http.createServer((request, response) => server.take(request, response));
    await new Promise((resolve) => server.http.listen(0, '127.0.0.1', resolve));
    server.url = `http://127.0.0.1:${server.http.address().port}`;
    return server;
  }

  take(request, response) {
    this.keys.add(request.headers.authorization);
    let text = '';
    request.setEncoding('utf8').on('data', (piece) => { text += piece; }).on('end', () => {
      if (request.method === 'GET') {
        const status = this.health ?? 200;
        response.writeHead(status, { 'content-type': 'application/json' });
        return response.end('{"object":"list","data":[]}');
      }
      const body = JSON.parse(text);
      this.asked.push(body);
      response.on('close', () => { this.closed += 1; });
      return this.behave(request, response, body);
    });
  }

  async close() {
    this.http.closeAllConnections();
    await new Promise((resolve) => this.http.close(resolve));
  }
}

export const chunk = (delta, finish = null) =>
  // With blanks, as many servers write it.
  `data: {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": "theirs", "choices": [{"index": 0, "delta": ${JSON.stringify(delta)}, "finish_reason": ${JSON.stringify(finish)}}]}\n\n`;

export function answerWell(request, response, body) {
  if (body.stream) {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(chunk({ role: 'assistant', content: 'one' }));
    response.write(chunk({ content: ' two' }));
    response.write(chunk({}, 'stop'));
    response.write('data: {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": "theirs", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}\n\n');
    return response.end('data: [DONE]\n\n');
  }
  response.writeHead(200, { 'content-type': 'application/json' });
  return response.end(JSON.stringify({
    id: 'chatcmpl-1', object: 'chat.completion', created: 1700000000, model: 'theirs',
    choices: [{ index: 0, message: { role: 'assistant', content: 'one two' }, finish_reason: 'stop' }],
    usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 },
  }, null, 2));
}

export const status = (code, headers = {}, body = { error: { message: 'no' } }) => (request, response) => {
  response.writeHead(code, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(body));
};

// A gateway whose only models are on outside servers: `servers` by name, one role with `models`.
export function startBefore(servers, models, { environment, ready = true, ...more } = {}) {
  const roles = { technical: { models } };
  return startScripted({
    roles: { coordinator: null, technical: null, documentation: null, vision: null }, more: { servers, roles, ...more }, environment, ready,
  });
}
