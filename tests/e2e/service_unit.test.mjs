// The units in deploy/systemd, as this distribution's systemd reads them. A group of system calls that it does not know is
// left out with a warning only, and the jail then stands without what the group allowed.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { kGateway, temporaryFolder } from '../support/gateway.mjs';

const kUnits = fileURLToPath(new URL('../../deploy/systemd/', import.meta.url));
// What makes the jail's bars (jail/cage.cc), and what lets it step back (src/intake/step_back.cc).
const kNeeded = ['seccomp', 'landlock_create_ruleset', 'landlock_add_rule', 'landlock_restrict_self', 'prctl', 'unshare', 'sched_setaffinity', 'setpriority'];

const folder = temporaryFolder();
after(() => fs.rmSync(folder, { recursive: true, force: true }));

test('systemd finds nothing to complain about', () => {
  const files = ['gbgreg.service', 'gbgreg.socket'].map((name) => {
    const file = path.join(folder, name);
    fs.writeFileSync(file, fs.readFileSync(path.join(kUnits, name), 'utf8').replace('/usr/local/bin/gbgreg', kGateway));
    return file;
  });
  const verified = spawnSync('systemd-analyze', ['verify', ...files], { encoding: 'utf8' });
  assert.equal(verified.error, undefined);
  const complaints = verified.stderr.split('\n').filter((line) => line.includes('gbgreg'));
  assert.deepEqual(complaints, []);
});

test('the system calls that the jail needs are allowed', () => {
  const membersOf = (group) => execFileSync('systemd-analyze', ['syscall-filter', group], { encoding: 'utf8' }).split('\n')
    .map((line) => line.trim()).filter((line) => line !== '' && line !== group && !line.startsWith('#'));
  const callsOf = (word) => (word.startsWith('@') ? membersOf(word).flatMap(callsOf) : [word]);
  const unit = fs.readFileSync(path.join(kUnits, 'gbgreg.service'), 'utf8');
  const words = [...unit.matchAll(/^SystemCallFilter=(.*)$/gm)].flatMap((line) => line[1].trim().split(/\s+/));
  assert.ok(words.length > 0);
  const allowed = new Set(words.flatMap(callsOf));
  assert.deepEqual(kNeeded.filter((call) => !allowed.has(call)), []);
});
