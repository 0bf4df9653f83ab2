// What the tests of all three protocols need.
import assert from 'node:assert/strict';

import { png } from './images.mjs';

export const kPng = png(64, 48).toString('base64');
export const kCityArguments = '{"city":"São Paulo","days":[1,2,3]}';
// Answers by calling get_weather, with arguments that are cut into many pieces when they are streamed.
export const kCallsWeather = `[[tool=get_weather tool_args='${kCityArguments}']]`;
export const kWeatherSchema = { type: 'object', properties: { city: { type: 'string' }, days: { type: 'array', items: { type: 'integer' } } }, required: ['city'] };
export const kWeatherTool = { type: 'function', function: { name: 'get_weather', description: 'How the weather is.', parameters: kWeatherSchema } };

// The body that the engine got from a request whose prompt says [[record=NAME]].
export async function recorded(gateway, name) {
  return (await gateway.engineLog.waitFor('request_body', { record: name })).body;
}

// Bytes that are no request in any of the protocols: [what they are, the body].
export function bodiesThatAreNone(rest) {
  return [
    ['cut off', '{"model":"coordinator"'],
    ['empty', ''],
    ['not JSON', 'model=coordinator'],
    ['an array', '[]'],
    ['followed by something', `${JSON.stringify(rest('Hello'))} x`],
    ['of invalid UTF-8', Buffer.from(JSON.stringify(rest('\xff\xfe')), 'latin1')],
    ['with half a surrogate pair', JSON.stringify(rest('HERE')).replace('HERE', '\\ud800')],
    ['nested 200,000 deep', `{"x":${'['.repeat(200_000)}${']'.repeat(200_000)}}`],
  ];
}

// An error as OpenAI's clients read it.
export function assertOpenAiError(answer, status, { param, code } = {}) {
  assert.equal(answer.status, status, answer.text);
  assert.match(answer.headers['content-type'], /^application\/json/);
  assert.ok(answer.headers['x-request-id']);
  const { error } = answer.json();
  for (const key of ['message', 'type', 'param', 'code']) assert.ok(key in error, `${key} in ${answer.text}`);
  assert.equal(typeof error.message, 'string');
  assert.equal(typeof error.type, 'string');
  if (param) assert.equal(error.param, param, answer.text);
  if (code) assert.equal(error.code, code, answer.text);
  return error;
}

// No part of the answer repeats what no JSON may hold.
export function assertIsText(answer) {
  assert.ok(!answer.text.includes('\ufffd') && !/\\ud8/i.test(answer.text), answer.text);
}
