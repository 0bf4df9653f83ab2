// What tests say to the upload routes.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';

import { contentType, kBoundary, fileBody, multipart, partHead } from './multipart.mjs';

// For `more` of a gateway that is to take bytes of no known type.
export const kUnknownBinaries = { uploads: { allow_unknown_binaries: true } };

export const kUploadId = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

export const sha256 = (bytes) => crypto.createHash('sha256').update(bytes).digest('hex');

export const postUpload = (gateway, body, { headers = contentType(), ...rest } = {}) =>
  gateway.request('POST', '/api/upload/file', { body, headers, ...rest });

// Uploads one file and returns its record.
export async function upload(gateway, content, filename, more) {
  const answer = await postUpload(gateway, fileBody(content, filename, more));
  assert.equal(answer.status, 200, answer.text);
  return answer.json().upload;
}

export async function list(gateway, query = '') {
  const answer = await gateway.get(`/api/uploads${query}`);
  assert.equal(answer.status, 200, answer.text);
  return answer.json();
}

export const content = (gateway, id, options) => gateway.get(`/api/uploads/${id}/content`, options);

// Files of uploads that are not whole.
export function temporaryFiles(gateway) {
  const folder = path.join(gateway.data, 'uploads/tmp');
  return fs.existsSync(folder) ? fs.readdirSync(folder) : [];
}

// Every file in its place under uploads/, without the temporary and the lost ones.
export function storedFiles(gateway) {
  const root = path.join(gateway.data, 'uploads');
  return fs.readdirSync(root).filter((name) => /^[0-9a-f]{2}$/.test(name)).flatMap((name) => fs.readdirSync(path.join(root, name)));
}

// Whole files that no upload used when a gateway started.
export function lostFiles(gateway) {
  const folder = path.join(gateway.data, 'uploads/lost');
  return fs.existsSync(folder) ? fs.readdirSync(folder) : [];
}

// A multipart body of `size` bytes of file, made on the way and never held whole. The bytes are the same for the same seed.
export function largeUpload(size, { filename = 'large.bin', seed = 1 } = {}) {
  const blockBytes = 1024 * 1024;
  const block = Buffer.alloc(blockBytes);
  for (let i = 0, state = seed; i < blockBytes; i += 4) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    block.writeUInt32LE(state, i);
  }
  const head = Buffer.from(partHead({ name: 'file', filename }));
  const tail = Buffer.from(`\r\n--${kBoundary}--\r\n`);
  const pieces = function* () {
    for (let at = 0; at < size; at += blockBytes) {
      block.writeUInt32LE(at / blockBytes, 0);  // No two blocks are the same.
      yield block.subarray(0, Math.min(blockBytes, size - at));
    }
  };
  const hash = crypto.createHash('sha256');
  for (const piece of pieces()) hash.update(piece);
  return {
    sha256: hash.digest('hex'),
    length: head.length + size + tail.length,
    async *body() {
      yield head;
      for (const piece of pieces()) yield Buffer.from(piece);
      yield tail;
    },
  };
}

export { contentType, fileBody, kBoundary, multipart };
