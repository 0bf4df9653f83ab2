// Runs clang-tidy over the files of a compile_commands.json, several at once, and remembers which passed.
//
// A result is kept under a hash of everything it depends on: clang-tidy's version, .clang-tidy, the compiler's flags and the
// preprocessed text of the file, comments included since NOLINT is one. Preprocessing costs a second where the checks cost
// twenty. Nothing in it depends on where the checkout lies. Only a pass is remembered: findings are shown every time until
// they are mended.
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { basename, join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';

const kTidy = 'clang-tidy-19', kCompiler = 'clang++-19';
const kOurFolders = /^(src|jail|tests|bench|fuzz)\//;
const kKeptDays = 30;
// The static analyzer walks the paths through Asio and GoogleTest that a test takes: four fifths of its time, and what it finds is
// theirs. Tests, benchmarks and fuzz targets are run under the sanitizers instead.
const kRunOnly = /^(tests|bench|fuzz)\/|_test\.cc$/;
const kWithoutAnalyzer = ['--checks=-clang-analyzer-*'];
// Of the paths through one function the analyzer follows a sixth of what it would by itself: a coroutine has more than it ever
// comes to the end of, and the file with the most of them took 105 s with its 225,000 nodes and takes 27 s with these.
const kAnalyzerBound = ['-Xclang', '-analyzer-config', '-Xclang', 'max-nodes=40000'];

const { values: options } = parseArgs({
  options: { root: { type: 'string' }, build: { type: 'string' }, cache: { type: 'string' } },
});
const root = resolve(options.root), cache = resolve(options.cache);
// The fuzz targets are in a tree of their own; a file that several trees build is read as in the first.
const databases = [options.build, 'build/fuzz'].map((build) => join(root, build, 'compile_commands.json'));
if (!existsSync(databases[0])) {
  console.error(`tidy: ${databases[0]} is missing. Run ./test first: it configures and builds.`);
  process.exit(2);
}
const commands = databases.filter((file) => existsSync(file)).flatMap((file) => JSON.parse(readFileSync(file, 'utf8')));

// Splits a command as CMake writes it: words, double quotes and backslashes.
function splitCommand(command) {
  const words = command.match(/(?:[^\s"\\]|\\.|"(?:[^"\\]|\\.)*")+/g) ?? [];
  return words.map((word) => word.replace(/"((?:[^"\\]|\\.)*)"|\\(.)/g, (_, quoted, escaped) =>
    quoted === undefined ? escaped : quoted.replace(/\\(.)/g, '$1')));
}

// The flags that matter for reading the file. A precompiled header made by the compiler is not one that clang-tidy can read;
// the header that it was made from stays included as text.
function readingFlags({ command, arguments: given, file }) {
  const words = given ?? splitCommand(command), flags = [];
  while (words[0].includes('=') || !basename(words[0]).startsWith('clang')) words.shift();  // The launcher: ccache and its settings.
  for (let i = 1; i < words.length; ++i) {
    if (words[i] === '-Xclang' && words[i + 1] === '-include-pch') i += 3;
    else if (['-o', '-MF', '-MT', '-MQ'].includes(words[i])) ++i;
    else if (!['-c', '-MD', '-MMD', '-Winvalid-pch', '-fpch-instantiate-templates', file].includes(words[i])) flags.push(words[i]);
  }
  return [...flags, '-Wno-unknown-warning-option', '-Wno-unused-command-line-argument', ...kAnalyzerBound];
}

// Runs a program and hands every piece of its standard output to `take`. Answers the exit status and its standard error.
function runProgram(program, args, directory, take) {
  return new Promise((done, fail) => {
    const child = spawn(program, args, { cwd: directory, stdio: ['ignore', 'pipe', 'pipe'] });
    const errors = [];
    child.stdout.on('data', take);
    child.stderr.on('data', (piece) => errors.push(piece));
    child.on('error', fail);
    child.on('close', (status) => done({ status, errors: Buffer.concat(errors).toString() }));
  });
}

const settings = execFileSync(kTidy, ['--version']) + readFileSync(join(root, '.clang-tidy'), 'utf8');
const seen = new Set();
const units = commands.filter(({ file, directory }) => {
  const path = relative(root, resolve(directory, file));
  return kOurFolders.test(path) && path.endsWith('.cc') && existsSync(join(root, path)) && !seen.has(path) && seen.add(path);
});
mkdirSync(cache, { recursive: true });

const start = Date.now(), seconds = () => Math.round((Date.now() - start) / 1000);
let unchanged = 0, analysed = 0;
const bad = [];

async function checkUnit(unit) {
  const path = relative(root, resolve(unit.directory, unit.file)), flags = readingFlags(unit);
  const choice = kRunOnly.test(path) ? kWithoutAnalyzer : [];
  const hash = createHash('sha256').update(settings).update(JSON.stringify([path, ...choice, flags]).replaceAll(root, '.'));
  const read = await runProgram(kCompiler, [...flags, '-E', '-P', '-C', unit.file], unit.directory, (piece) => hash.update(piece));
  const stamp = join(cache, hash.digest('hex'));
  if (read.status === 0 && existsSync(stamp)) {
    utimesSync(stamp, new Date(), new Date());
    ++unchanged;
    return;
  }
  const output = [];
  const tidy = await runProgram(kTidy, ['--quiet', ...choice, unit.file, '--', ...flags], unit.directory, (piece) => output.push(piece));
  ++analysed;
  if (tidy.status === 0 && read.status === 0) {
    writeFileSync(stamp, `${path}\n`);
    return;
  }
  bad.push(path);
  // Without findings the reason is on standard error, otherwise only a count of suppressed warnings is.
  const text = Buffer.concat(output).toString().trim() || tidy.errors.trim() || read.errors.trim();
  console.log(`\n--- ${path}\n${text.replaceAll(`${root}/`, '')}`);
}

const clock = setInterval(() => console.log(`tidy: ${unchanged + analysed} of ${units.length} files, ${seconds()} s`), 30000);
const queue = [...units];
await Promise.all(cpus().map(async () => { while (queue.length > 0) await checkUnit(queue.shift()); }));
clearInterval(clock);

for (const name of readdirSync(cache)) {
  if (Date.now() - statSync(join(cache, name)).mtimeMs > kKeptDays * 86400000) rmSync(join(cache, name), { force: true });
}
console.log(`tidy: ${units.length} files in ${seconds()} s: ${unchanged} unchanged since they passed, ${analysed} analysed, ` +
  `${bad.length} with findings${bad.length > 0 ? `: ${bad.sort().join(', ')}` : '.'}`);
process.exit(bad.length > 0 ? 1 : 0);
