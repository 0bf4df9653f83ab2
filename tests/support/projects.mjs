// What tests say to the routes of projects.
import assert from 'node:assert/strict';

import { contentType, fileBody, multipart } from './multipart.mjs';

export const postArchive = (gateway, bytes, filename = 'a.zip', more = []) =>
  gateway.request('POST', '/api/upload/zip', { body: fileBody(bytes, filename, more), headers: contentType() });

// files: [[path, content], …]
export const postProject = (gateway, files, more = []) =>
  gateway.request('POST', '/api/upload/project', {
    body: multipart([...files.map(([filename, content]) => ({ name: 'files', filename, content })), ...more]), headers: contentType(),
  });

export async function uploadArchive(gateway, bytes, filename, more) {
  const answer = await postArchive(gateway, bytes, filename, more);
  assert.equal(answer.status, 200, answer.text);
  return answer.json();
}

export async function uploadProject(gateway, files, more) {
  const answer = await postProject(gateway, files, more);
  assert.equal(answer.status, 200, answer.text);
  return answer.json();
}

export const projectFile = (gateway, id, path, options) =>
  gateway.get(`/api/projects/${id}/files/${path.split('/').map(encodeURIComponent).join('/')}`, options);

export const paths = (files) => files.map((file) => file.path);
// { path: code } of what was not taken.
export const reasons = (made) => Object.fromEntries(made.rejected.map((entry) => [entry.path, entry.code]));
