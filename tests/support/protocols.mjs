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

// No part of the answer repeats what no JSON may hold.
export function assertIsText(answer) {
  assert.ok(!answer.text.includes('\ufffd') && !/\\ud8/i.test(answer.text), answer.text);
}
