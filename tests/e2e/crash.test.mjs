// kill -9 at random moments of uploads and extractions: nothing that was acknowledged is lost, nothing half-done is
// visible, and what is stored is what its names say.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, test } from 'node:test';

import { tar, zip } from '../support/archives.mjs';
import { kGateway, startScripted } from '../support/gateway.mjs';
import { postArchive, postProject, projectFile } from '../support/projects.mjs';
import { databaseEnvironment, kOnPostgres } from '../support/postgres.mjs';
import { content, fileBody, lostFiles, postUpload, sha256, storedFiles, temporaryFiles } from '../support/uploads.mjs';
import { kSanitized } from '../support/wait.mjs';

// Starting takes most of a round, and the sanitizers make that slow.
const kRounds = kSanitized || kOnPostgres ? 25 : 200;
const kFilesOfAProject = 40;
const kLatestMs = 250;

let gateway;
after(() => gateway?.dispose());

const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

// What one client sends, and how to see that all of it is there.
const kWork = [
  async (tag) => {
    const bytes = Buffer.from(`${tag} ${'data '.repeat(5000)}`);
    const answer = await postUpload(gateway, fileBody(bytes, `${tag}.txt`));
    return answer.status === 200 && { id: answer.json().upload.id, isThere: async (id) => assert.deepEqual((await content(gateway, id)).body, bytes) };
  },
  async (tag) => {
    const files = Array.from({ length: kFilesOfAProject }, (_, i) => [`${tag}/f${i}.txt`, `${tag} ${i} `.repeat(i)]);
    return wholeProject(await postProject(gateway, files), files);
  },
  async (tag) => {
    const files = Array.from({ length: kFilesOfAProject }, (_, i) => [`z${i % 5}/f${i}.txt`, `${tag} zip ${i} `.repeat(i * 7)]);
    return wholeProject(await postArchive(gateway, zip(files.map(([name, text]) => ({ name, content: text }))), `${tag}.zip`), files);
  },
  async (tag) => {
    const files = Array.from({ length: kFilesOfAProject }, (_, i) => [`t${i % 5}/f${i}.txt`, `${tag} tar ${i} `.repeat(i * 7)]);
    return wholeProject(await postArchive(gateway, tar(files.map(([name, text]) => ({ name, content: text }))), `${tag}.tar`), files);
  },
];

function wholeProject(answer, files) {
  return answer.status === 200 && {
    id: answer.json().project.id,
    isThere: async (id) => {
      const listed = (await gateway.get(`/api/projects/${id}/files?limit=10000`)).json().files;
      assert.deepEqual(new Map(listed.map((file) => [file.path, file.sha256])), new Map(files.map(([name, text]) => [name, sha256(text)]).sort()));
      const [name, text] = files.at(-1);
      assert.equal((await projectFile(gateway, id, name)).text, text);
    },
  };
}

test(`kill -9 at ${kRounds} random points of uploads and extractions`, async () => {
  gateway = await startScripted({ roles: { technical: null, documentation: null, vision: null }, ready: false });
  const acknowledged = [];
  let cut = 0;
  for (let round = 0; round < kRounds; ++round) {
    const sent = kWork.map((work, i) => work(`round${round}-${i}`).then((done) => done && acknowledged.push(done), () => { ++cut; }));
    // The first round is cut as it begins and the second not at all, so both kinds are there on any machine.
    if (round === 1) await Promise.all(sent);
    else await pause(round === 0 ? 0 : Math.random() * kLatestMs * (kSanitized ? 4 : 1));
    await gateway.kill();
    await Promise.all(sent);
    await gateway.launch();
    assert.deepEqual(temporaryFiles(gateway), [], 'half-done files are swept');
    for (const one of acknowledged.slice(-kWork.length)) await one.isThere(one.id);
  }
  console.log(`kill -9: ${kRounds} times, ${acknowledged.length} acknowledged, ${cut} cut`);
  assert.ok(acknowledged.length > 0 && cut > 0, 'the moments were of both kinds');
  for (const one of acknowledged) await one.isThere(one.id);

  // Whatever else is listed is whole, too: it was committed, and its answer was cut.
  for (let cursor = ''; cursor !== null;) {
    const page = (await gateway.get(`/api/projects?limit=200&cursor=${cursor}`)).json();
    for (const project of page.projects) {
      const { files } = (await gateway.get(`/api/projects/${project.id}/files?limit=10000`)).json();
      assert.equal(files.length, kFilesOfAProject);
      for (const file of files) assert.ok(fs.existsSync(path.join(gateway.data, 'uploads', file.sha256.slice(0, 2), file.sha256)), file.path);
    }
    cursor = page.next_cursor;
  }
  for (const name of storedFiles(gateway)) assert.equal(sha256(fs.readFileSync(path.join(gateway.data, 'uploads', name.slice(0, 2), name))), name);
  for (const name of lostFiles(gateway)) assert.match(name, /^[0-9a-f]{64}$/);
  const verified = spawnSync(kGateway, ['storage', 'verify', '--data', gateway.data], { encoding: 'utf8', env: { ...process.env, ...await databaseEnvironment(gateway.data) } });
  assert.equal(verified.status, 0, verified.stdout + verified.stderr);
});
