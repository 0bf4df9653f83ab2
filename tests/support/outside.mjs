// Outside servers for tests: real llama-server processes, and one that misbehaves as it is told.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import path from 'node:path';

import { kDemoModels, kRealEngine, requireRealEngine, startScripted } from './gateway.mjs';
import { unusedPort } from './ports.mjs';
import { waitUntil, within } from './wait.mjs';

export class LlamaServer {
  static async start({ role = 'technical', key, slots = 4, port } = {}) {
    requireRealEngine();
    const server = new LlamaServer();
    server.port = port ?? await unusedPort();
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

// `behave(request, response, body)` answers what is asked of a model; anything else is answered as a healthy server does,
// with `list` as its models. `tls` is a pair of an Authority's. A GET is left without an answer while `hangs` is true.
export class ScriptedServer {
  static async start(behave = answerWell, { tls, list = { object: 'list', data: [] }, show, hangs = false } = {}) {
    const server = new ScriptedServer();
    Object.assign(server, { behave, list, show, hangs, asked: [], keys: new Set(), hosts: new Set(), closed: 0, connections: 0 });
    const take = (request, response) => server.take(request, response);
    server.http = tls ? https.createServer({ cert: fs.readFileSync(tls.certificate), key: fs.readFileSync(tls.key) }, take) : http.createServer(take);
    server.http.on(tls ? 'secureConnection' : 'connection', () => { server.connections += 1; });
    await new Promise((resolve) => server.http.listen(0, '127.0.0.1', resolve));
    server.port = server.http.address().port;
    server.url = `${tls ? 'https' : 'http'}://127.0.0.1:${server.port}`;
    return server;
  }

  take(request, response) {
    this.keys.add(request.headers.authorization);
    this.hosts.add(request.headers.host);
    let text = '';
    request.setEncoding('utf8').on('data', (piece) => { text += piece; }).on('end', () => {
      if (request.method === 'GET') {
        if (this.hangs) return undefined;
        response.writeHead(this.health ?? 200, { 'content-type': 'application/json' });
        return response.end(JSON.stringify(this.list));
      }
      const body = JSON.parse(text);
      if (request.url === '/api/show') return response.end(JSON.stringify(this.show ?? {}));
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

// Answers well, unless there is a field in the request that OpenAI, or vLLM, does not know.
const kOpenAiFields = ['model', 'messages', 'stream', 'stream_options', 'temperature', 'top_p', 'presence_penalty', 'frequency_penalty', 'max_tokens', 'seed', 'stop',
  'tools', 'tool_choice', 'parallel_tool_calls', 'response_format', 'logprobs', 'top_logprobs', 'logit_bias'];
const kMessageFields = ['role', 'content', 'tool_calls', 'tool_call_id'];
export const strictly = (more = []) => (request, response, body) => {
  const unknown = [
    ...Object.keys(body).filter((name) => ![...kOpenAiFields, ...more].includes(name)),
    ...body.messages.flatMap((message) => Object.keys(message).filter((name) => !kMessageFields.includes(name))),
  ];
  if (unknown.length === 0) return answerWell(request, response, body);
  return status(400, {}, { error: { message: `Unrecognized request arguments supplied: ${unknown.join(', ')}`, type: 'invalid_request_error' } })(request, response);
};

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
