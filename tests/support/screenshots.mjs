// What tests say to the routes of screenshots.
import assert from 'node:assert/strict';

import { Pages } from './browser.mjs';
import { contentType, fileBody } from './multipart.mjs';
import { waitUntil } from './wait.mjs';

export const postScreenshot = (gateway, bytes, { filename = 'shot.png', prompt, wait, ...options } = {}) =>
  gateway.request('POST', '/api/upload/screenshot', {
    body: fileBody(bytes, filename, [
      ...(prompt === undefined ? [] : [{ name: 'prompt', content: prompt }]),
      ...(wait === undefined ? [] : [{ name: 'wait', content: String(wait) }]),
    ]),
    headers: contentType(), ...options,
  });

// Has one looked at and returns { upload, analysis }.
export async function look(gateway, bytes, options) {
  const answer = await postScreenshot(gateway, bytes, options);
  assert.equal(answer.status, 200, answer.text);
  return answer.json();
}

export async function queue(gateway, bytes, options) {
  const answer = await postScreenshot(gateway, bytes, { ...options, wait: false });
  assert.equal(answer.status, 202, answer.text);
  return answer.json();
}

export async function analysisOf(gateway, id) {
  const answer = await gateway.get(`/api/screenshots/${id}`);
  assert.equal(answer.status, 200, answer.text);
  return answer.json().analysis;
}

export const finished = (gateway, id) => waitUntil(`screenshot ${id} is finished`, async () => {
  const analysis = await analysisOf(gateway, id);
  return ['done', 'failed'].includes(analysis.status) && analysis;
}, { deadlineMs: 60_000 });

// A page of text, drawn by a real browser: { 'image/png': bytes, 'image/jpeg': bytes, 'image/webp': bytes }.
export async function drawText(lines, { width = 900, height = 300, font = '24px sans-serif' } = {}) {
  const pages = await Pages.open();
  try {
    const drawn = await pages.run('localhost', `
      const canvas = document.createElement('canvas');
      [canvas.width, canvas.height] = [${width}, ${height}];
      const pen = canvas.getContext('2d');
      pen.fillStyle = 'white';
      pen.fillRect(0, 0, ${width}, ${height});
      pen.fillStyle = 'black';
      pen.font = ${JSON.stringify(font)};
      ${JSON.stringify(lines)}.forEach((line, i) => pen.fillText(line, 30, 60 + 50 * i));
      return Object.fromEntries(['image/png', 'image/jpeg', 'image/webp'].map((type) => [type, canvas.toDataURL(type, 0.95)]));`);
    return Object.fromEntries(Object.entries(drawn).map(([type, url]) => {
      assert.ok(url.startsWith(`data:${type};base64,`), `the browser does not write ${type}: ${url.slice(0, 50)}`);
      return [type, Buffer.from(url.slice(url.indexOf(',') + 1), 'base64')];
    }));
  } finally {
    await pages.close();
  }
}
