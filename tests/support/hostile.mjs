// Inputs that attack: archives, names and forms, each with the class of answer that it must get. A case is
// { name, body, status, code?, rejected? }: of an archive that is taken, `rejected` says what became of which entry.
import crypto from 'node:crypto';
import zlib from 'node:zlib';

import { packedBy, pax, tar, zip } from './archives.mjs';
import { kBoundary, multipart, partHead } from './multipart.mjs';

const kMegabyte = 1024 * 1024;
const one = (more = {}) => [{ name: 'a.txt', content: 'hello hello hello', ...more }];
const refused = (name, body, code) => ({ name, body, status: 422, code });
const rejected = (name, body, reasons) => ({ name, body, status: 200, rejected: reasons });
const garbage = (count) => Array.from({ length: count }, (_, i) => ({ name: `g${i}`, content: 'hello hello hello', packedBytes: Buffer.alloc(17, 0xff) }));
const patched = (bytes, at, patch) => {
  const copy = Buffer.from(bytes);
  Buffer.from(patch).copy(copy, at < 0 ? copy.length + at : at);
  return copy;
};

// A name that must not be taken, in a ZIP and in a tar.
const kBadNames = [
  ['../x', 'name_traversal'], ['../../../../../../etc/cron.d/x', 'name_traversal'], ['a/../../x', 'name_traversal'], ['a/b/../../../x', 'name_traversal'], ['..', 'name_traversal'], ['a/..', 'name_traversal'],
  ['..\\x', 'name_traversal'], ['a\\..\\..\\x', 'name_traversal'], ['..\\../x', 'name_traversal'],
  ['/etc/passwd', 'name_absolute'], ['//etc/passwd', 'name_absolute'], ['\\windows\\system32\\x', 'name_absolute'], ['\\\\server\\share\\x', 'name_absolute'], ['C:\\x', 'name_absolute'], ['c:/x', 'name_absolute'], ['C:x', 'name_absolute'],
  ['a\x01b', 'name_hidden_characters'], ['a\nb', 'name_hidden_characters'], ['a\rb', 'name_hidden_characters'], ['a\x7fb', 'name_hidden_characters'], ['a\u202egpj.exe', 'name_hidden_characters'], ['a\u200bb', 'name_hidden_characters'],
  ['\ufeffa', 'name_hidden_characters'], ['a\u2028b', 'name_hidden_characters'], ['\x1b[2Jx', 'name_hidden_characters'],
  [`${'d/'.repeat(40)}x`, 'name_too_deep'], ['n'.repeat(256), 'name_too_long'], [`${'n'.repeat(250)}/`.repeat(5) + 'x', 'name_too_long'],
];

export function hostileZips() {
  const good = zip(one());
  const bombContent = Buffer.alloc(4 * kMegabyte);
  const quine = zip([{ name: 'r.zip', content: zip([{ name: 'r.zip', content: good, stored: true }]), stored: true }]);
  const cases = kBadNames.map(([name, code]) => rejected(`zip name ${JSON.stringify(name.slice(0, 30))}`, zip([{ name, content: 'x' }]), [code]));
  return [
    ...cases,
    refused('zip name with NUL', zip(one({ name: 'a.txt\0.png' })), 'archive_lies'),
    rejected('zip name of dots only', zip([{ name: './.', content: 'x' }]), ['name_empty']),
    rejected('zip names that differ by case', zip([{ name: 'A', content: '1' }, { name: 'a', content: '2' }]), ['name_conflict']),
    rejected('zip names that differ by composition', zip([{ name: 'ü', content: '1' }, { name: 'u\u0308', content: '2' }]), ['name_conflict']),
    rejected('zip names twice', zip([{ name: 'a', content: '1' }, { name: 'a', content: '2' }]), ['name_conflict']),
    rejected('zip file as a folder', zip([{ name: 'a', content: '1' }, { name: 'a/b', content: '2' }]), ['path_conflict']),
    rejected('zip symbolic link', zip([{ name: 'l', content: '/etc/passwd', mode: 0o120777 }]), ['link_not_taken']),
    rejected('zip device', zip([{ name: 'd', content: '', mode: 0o020644, stored: true }]), ['special_not_taken']),
    rejected('zip with a wrong checksum', zip(one({ local: { crc: 1 }, central: { crc: 1 } })), ['entry_damaged']),
    rejected('zip with a method that nobody knows', zip(one({ method: 97 })), ['entry_damaged']),
    rejected('zip whose packed bytes are garbage', zip(one({ packedBytes: Buffer.alloc(17, 0xff) })), ['entry_damaged']),
    rejected('zip whose bytes are fewer than it says, and others', zip(one({ local: { size: 30, crc: 1 }, central: { size: 30, crc: 1 } })), ['entry_damaged']),
    rejected('zip whose bytes are more than it says, and others', zip(one({ local: { size: 3, crc: 1 }, central: { size: 3, crc: 1 } })), ['entry_damaged']),
    rejected('zip with as many entries of garbage as are passed over', zip(garbage(100)), Array(100).fill('entry_damaged')),
    refused('zip with more entries of garbage than are passed over', zip(garbage(101)), 'archive_damaged'),
    refused('zip of a bomb', zip([{ name: 'zeros', content: bombContent }]), 'archive_bomb'),
    refused('zip of a bomb that says that it is small', zip([{ name: 'zeros', content: bombContent, local: { size: 1000 }, central: { size: 1000 } }]), 'archive_lies'),
    refused('zip of files that share their bytes', zip([...one(), { sameAs: 0, head: {} }]), 'archive_overlaps'),
    refused('zip of files that share their bytes under other names', zip([...one(), { sameAs: 0, head: { name: 'b.txt' } }]), 'archive_lies'),
    refused('zip whose files begin within each other', zip([{ name: 'a', content: zip([{ name: 'b', content: 'x' }]), stored: true }, { sameAs: 0, head: { name: 'b', offset: 31 } }]), null),
    refused('zip with too many entries', zip(Array.from({ length: 301 }, (_, i) => ({ name: `f${i}`, content: '' }))), 'archive_too_many_entries'),
    refused('zip that is too large unpacked', zip(Array.from({ length: 9 }, (_, i) => ({ name: `f${i}`, content: Buffer.alloc(kMegabyte, `${i}`), local: {}, stored: true }))), 'archive_too_large'),
    refused('zip that says it is too large', zip(one({ local: { size: 0x7fffffff }, central: { size: 0x7fffffff } })), 'archive_too_large'),
    refused('zip, size in the directory larger', zip(one({ central: { size: 18 } })), 'archive_lies'),
    refused('zip, size in the directory smaller', zip(one({ central: { size: 3 } })), 'archive_lies'),
    refused('zip, both sizes larger than the truth', zip(one({ local: { size: 30 }, central: { size: 30 } })), 'archive_lies'),
    refused('zip, both sizes smaller than the truth', zip(one({ local: { size: 3 }, central: { size: 3 } })), 'archive_lies'),
    refused('zip, packed size differs', zip(one({ central: { packed: 3 } })), 'archive_lies'),
    refused('zip, checksum differs', zip(one({ central: { crc: 7 } })), 'archive_lies'),
    refused('zip, name differs', zip(one({ central: { name: 'b.txt' } })), 'archive_lies'),
    refused('zip, name differs by a path', zip(one({ central: { name: '../../evil' } })), 'archive_lies'),
    refused('zip, method differs', zip(one({ central: { method: 0 } })), 'archive_lies'),
    refused('zip, flags differ', zip(one({ central: { flags: 0 } })), 'archive_lies'),
    refused('zip, offset beyond the end', zip(one({ central: { offset: 100_000 } })), 'archive_lies'),
    refused('zip, offset into the middle', zip(one({ central: { offset: 7 } })), 'archive_lies'),
    refused('zip, offset of all ones', zip(one({ central: { offset: 0xffffffff } })), 'archive_lies'),
    refused('zip, stored and yet of another size', zip(one({ stored: true, local: { size: 16 }, central: { size: 16 } })), 'archive_lies'),
    refused('zip, descriptor says otherwise', zip(one({ descriptor: { size: 99 } })), 'archive_lies'),
    refused('zip, descriptor with another checksum', zip(one({ descriptor: { crc: 99 } })), 'archive_lies'),
    refused('zip, local sizes say otherwise beside a descriptor', zip(one({ descriptor: true, local: { size: 99 } })), 'archive_lies'),
    refused('zip, count larger', zip(one(), { entries: 2 }), 'archive_lies'),
    refused('zip, count smaller', zip([...one(), ...one({ name: 'b' })], { entries: 1 }), 'archive_lies'),
    refused('zip, count of this disk differs', zip(one(), { entriesHere: 2 }), 'archive_lies'),
    refused('zip, count of 65,535', zip(one(), { entries: 65_535 }), 'archive_too_many_entries'),
    refused('zip, directory size larger', zip(one(), { size: 100_000 }), 'archive_damaged'),
    refused('zip, directory size smaller', zip(one(), { size: 10 }), 'archive_lies'),
    refused('zip, directory offset larger', zip(one(), { offset: 100_000 }), 'archive_damaged'),
    refused('zip, directory offset smaller', zip(one(), { offset: 0 }), 'archive_lies'),
    refused('zip of several disks', zip(one(), { disk: 1 }), 'archive_lies'),
    refused('zip, entry on another disk', zip(one({ central: { disk: 3 } })), 'archive_lies'),
    refused('zip with something behind its directory', zip(one(), { gap: 'hidden' }), 'archive_lies'),
    refused('zip with something before it that its offsets do not count', Buffer.concat([Buffer.from('PK'), zip(one())]), 'archive_lies'),
    refused('zip with something behind its end', zip(one(), { suffix: 'behind' }), 'archive_damaged'),
    refused('zip with two ends', zip(one(), { comment: zip([]) }), 'archive_lies'),
    refused('zip, comment shorter than it says', zip(one(), { commentBytes: 100 }), 'archive_damaged'),
    refused('zip64, count differs', zip(one(), { end64: { entries: 7 } }), 'archive_lies'),
    refused('zip64, size differs', zip(one(), { end64: { size: 7 } }), 'archive_lies'),
    refused('zip64, offset differs', zip(one(), { end64: { offset: 7 } }), 'archive_lies'),
    refused('zip64, locator to nowhere', zip(one(), { end64: { at: 1_000_000 } }), 'archive_damaged'),
    refused('zip64, locator into the middle', zip(one(), { end64: { at: 3 } }), 'archive_damaged'),
    refused('zip64, count of 2^64-1', zip(one(), { entries: 0xffff, end64: { entries: 0xffffffffffffffffn } }), 'archive_too_many_entries'),
    refused('zip64, field cut short', zip(one({ extra: Buffer.from('01000400ffffffff', 'hex'), central: { size: 0xffffffff }, local: { size: 0xffffffff } })), 'archive_damaged'),
    refused('zip64, field missing', zip(one({ central: { size: 0xffffffff }, local: { size: 0xffffffff } })), null),
    refused('zip, extra field longer than itself', zip(one({ extra: Buffer.from('5455ff0001', 'hex') })), 'archive_damaged'),
    refused('zip, encrypted', zip(one({ flags: 1 })), 'archive_encrypted'),
    refused('zip, strongly encrypted', zip(one({ flags: 0x41 })), 'archive_encrypted'),
    refused('zip, encrypted by AES', zip(one({ method: 99 })), 'archive_encrypted'),
    refused('zip, encrypted only in its local header', zip(one({ local: { flags: 0x801 } })), 'archive_encrypted'),
    refused('zip, masked directory', zip(one({ flags: 0x2000 })), 'archive_encrypted'),
    refused('zip by 7z with a password', packedBy({ a: 'secret' }, (folder, out) => ['7z', 'a', '-bd', '-psecret', `${out}.zip`, '.']), 'archive_encrypted'),
    refused('zip cut in the middle', good.subarray(0, good.length - 30), 'archive_damaged'),
    refused('zip of a local header only', good.subarray(0, 40), 'archive_damaged'),
    refused('zip of its signature only', Buffer.from('PK\x03\x04'), 'archive_damaged'),
    refused('zip of its end only, counting one', patched(zip([]), 8, [1, 0, 1, 0]), 'archive_lies'),
    refused('zip of zeros', patched(Buffer.alloc(50_000), 0, 'PK\x03\x04'), 'archive_damaged'),
    refused('zip of noise', Buffer.concat([Buffer.from('PK\x03\x04'), crypto.createHash('sha512').update('noise').digest()]), 'archive_damaged'),
    { name: 'zip in a zip in a zip is one file', body: quine, status: 200, rejected: [] },
  ];
}

export function hostileTars() {
  const bomb = zlib.gzipSync(tar([{ name: 'zeros', content: Buffer.alloc(7 * kMegabyte) }]), { level: 9 });
  const good = tar([{ name: 'a', content: 'hello' }]);
  const header = (entry) => tar([entry], { end: false });
  const cases = kBadNames.filter(([name]) => Buffer.byteLength(name) <= 100)
    .map(([name, code]) => rejected(`tar name ${JSON.stringify(name.slice(0, 30))}`, tar([{ name, content: 'x' }]), [code]));
  return [
    ...cases,
    rejected('tar name of overlong UTF-8', tar([{ name: Buffer.from('..\xc0\xaf..\xc0\xafx', 'latin1'), content: 'x' }]), ['name_not_utf8']),
    rejected('tar name by pax leads up', tar([{ name: 'p', type: 'x', content: pax('path', '../../evil') }, { name: 'good', content: 'x' }]), ['name_traversal']),
    rejected('tar name by GNU leads up', tar([{ name: '././@LongLink', type: 'L', content: '../../evil\0' }, { name: 'good', content: 'x' }]), ['name_traversal']),
    rejected('tar symbolic link to the root', tar([{ name: 'l', type: '2', link: '/' }, { name: 'l/etc/x', content: 'x' }]), ['link_not_taken']),
    rejected('tar hard link to a file outside', tar([{ name: 'h', type: '1', link: '/etc/passwd' }]), ['link_not_taken']),
    refused('tar hard link with content', tar([{ name: 'h', type: '1', link: 'a', content: 'x' }]), 'archive_damaged'),
    rejected('tar link by pax', tar([{ name: 'p', type: 'x', content: pax('linkpath', '/etc/passwd') }, { name: 'l', type: '2', link: 'x' }]), ['link_not_taken']),
    rejected('tar pipe', tar([{ name: 'p', type: '6' }]), ['special_not_taken']),
    rejected('tar device', tar([{ name: 'd', type: '3' }]), ['special_not_taken']),
    rejected('tar block device', tar([{ name: 'd', type: '4' }]), ['special_not_taken']),
    refused('tar.gz of a bomb', bomb, 'archive_bomb'),
    refused('tar that is too large', tar([{ name: 'a', content: Buffer.alloc(5 * kMegabyte, 1) }, { name: 'b', content: Buffer.alloc(4 * kMegabyte, 2) }]), 'archive_too_large'),
    refused('tar.gz whose bomb has a bad name', zlib.gzipSync(tar([{ name: '../z', content: Buffer.alloc(7 * kMegabyte) }]), { level: 9 }), 'archive_bomb'),
    refused('tar with too many entries', tar(Array.from({ length: 301 }, (_, i) => ({ name: `f${i}` }))), 'archive_too_many_entries'),
    refused('tar, size larger than what is there', header({ name: 'a', content: 'x', size: 1_000_000 }), 'archive_damaged'),
    refused('tar, size of 8 GB', header({ name: 'a', content: 'x', size: 8_589_934_591 }), 'archive_damaged'),
    refused('tar, second header with a wrong checksum', Buffer.concat([header({ name: 'a', content: 'x' }), tar([{ name: 'b', content: 'y', checksum: 1 }])]), 'archive_damaged'),
    refused('tar, first header with a wrong checksum', tar([{ name: 'b', content: 'y', checksum: 1 }]), 'archive_unreadable'),
    refused('tar.gz cut in the middle', zlib.gzipSync(tar([{ name: 'a', content: crypto.createHash('shake256', { outputLength: 20_000 }).update('x').digest() }])).subarray(0, 9000), null),
    refused('tar.gz with a wrong checksum', patched(zlib.gzipSync(good), -8, [1, 2, 3, 4]), null),
    refused('tar.gz with a wrong length', patched(zlib.gzipSync(good), -4, [1, 2, 3, 4]), null),
    refused('tar, pax size of 2^63', tar([{ name: 'p', type: 'x', content: pax('size', '9223372036854775807') }, { name: 'a', content: 'x' }]), null),
    refused('tar, pax header of 2 MB', tar([{ name: 'p', type: 'x', content: pax('comment', 'x'.repeat(2 * kMegabyte)) }, { name: 'a', content: 'x' }]), null),
    refused('gzip of no tar', zlib.gzipSync('just a text'), 'archive_unreadable'),
    refused('gzip of a zip', zlib.gzipSync(zip(one())), 'archive_unreadable'),
    refused('gzip of a gzip of a gzip', zlib.gzipSync(zlib.gzipSync(zlib.gzipSync('x'))), 'archive_unreadable'),
    refused('7z with a password', packedBy({ a: 'secret' }, (folder, out) => ['7z', 'a', '-bd', '-psecret', `${out}.7z`, '.']), 'archive_encrypted'),
    refused('7z with hidden names', packedBy({ a: 'secret' }, (folder, out) => ['7z', 'a', '-bd', '-psecret', '-mhe=on', `${out}.7z`, '.']), 'archive_encrypted'),
    refused('7z of a bomb', packedBy({ zeros: Buffer.alloc(6 * kMegabyte) }, (folder, out) => ['7z', 'a', '-bd', `${out}.7z`, '.']), 'archive_bomb'),
    refused('7z cut in the middle', packedBy({ a: 'hello' }, (folder, out) => ['7z', 'a', '-bd', `${out}.7z`, '.']).subarray(0, 60), null),
    refused('7z whose header leads to nowhere', patched(packedBy({ a: 'hello' }, (folder, out) => ['7z', 'a', '-bd', `${out}.7z`, '.']), 12, [0xff, 0xff, 0xff, 0xff]), null),
    refused('xz that wants 4 GB', Buffer.concat([Buffer.from('fd377a585a000004e6d6b446', 'hex'), Buffer.from('0200210128', 'hex'), Buffer.alloc(64)]), null),
    refused('rar', Buffer.concat([Buffer.from('526172211a0701', 'hex'), Buffer.alloc(100)]), 'archive_unreadable'),
    refused('nothing', Buffer.alloc(0), 'archive_unreadable'),
    refused('one byte', Buffer.from('x'), 'archive_unreadable'),
    refused('noise', crypto.createHash('shake256', { outputLength: 100_000 }).update('noise').digest(), 'archive_unreadable'),
    refused('a program', Buffer.concat([Buffer.from('7f454c4602010100', 'hex'), Buffer.alloc(5000, 7)]), 'archive_unreadable'),
  ];
}

// Bodies of forms for /api/upload/project, with the status that they must get.
export function hostileForms() {
  const file = (name, content = 'x') => ({ name: 'files', filename: name, content });
  const raw = (text) => Buffer.isBuffer(text) ? text : Buffer.from(text, 'latin1');
  const disposition = (text) => raw(`--${kBoundary}\r\nContent-Disposition: ${text}\r\n\r\nx\r\n--${kBoundary}--\r\n`);
  const form = (name, body, status) => ({ name: `form ${name}`, body: raw(body), status });
  return [
    form('of nothing', '', 400),
    form('of no boundary', 'just bytes', 400),
    form('without an end', `--${kBoundary}\r\n${'Content-Disposition: form-data; name="files"; filename="a"'}\r\n\r\nx`, 400),
    form('that ends in a head', `--${kBoundary}\r\nContent-Disposition: form-data; na`, 400),
    form('with a head of 20 KB', `--${kBoundary}\r\nContent-Disposition: form-data; name="files"; filename="${'a'.repeat(20_000)}"\r\n\r\nx\r\n--${kBoundary}--\r\n`, 400),
    form('with bare line feeds', `--${kBoundary}\nContent-Disposition: form-data; name="files"; filename="a"\n\nx\n--${kBoundary}--\n`, 400),
    form('without a disposition', `--${kBoundary}\r\nContent-Type: text/plain\r\n\r\nx\r\n--${kBoundary}--\r\n`, 400),
    form('with two dispositions', `--${kBoundary}\r\nContent-Disposition: form-data; name="a"\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\nx\r\n--${kBoundary}--\r\n`, 400),
    form('with a folded head', `--${kBoundary}\r\nContent-Disposition: form-data;\r\n name="files"; filename="a"\r\n\r\nx\r\n--${kBoundary}--\r\n`, 400),
    form('with NUL in a name', disposition('form-data; name="files"; filename="a\0b"'), 400),
    form('with another disposition', disposition('attachment; name="files"; filename="a"'), 400),
    form('without a name', disposition('form-data; filename="a"'), 400),
    form('with an open quote', disposition('form-data; name="files"; filename="a'), 400),
    form('with an empty filename', disposition('form-data; name="files"; filename=""'), 400),
    form('without files', multipart([{ name: 'other', content: 'x' }]), 400),
    form('with two names', multipart([file('a'), { name: 'name', content: 'x' }, { name: 'name', content: 'y' }]), 400),
    form('with a name that is no UTF-8', multipart([file('a'), { name: 'name', content: Buffer.from([0xff, 0xfe]) }]), 400),
    form('with NUL in a text', multipart([file('a'), { name: 'name', content: 'a\0b' }]), 400),
    form('with a name of 1 KB', multipart([file('a'), { name: 'name', content: 'x'.repeat(1000) }]), 413),
    form('with a description of 20 KB', multipart([file('a'), { name: 'description', content: 'x'.repeat(20_000) }]), 413),
    form('of 301 files', multipart(Array.from({ length: 301 }, (_, i) => file(`f${i}`, ''))), 422),
    form('of 12,001 parts', multipart(Array.from({ length: 12_001 }, () => ({ name: 'x', content: '' }))), 413),
    form('of files that are too large', multipart([file('a', Buffer.alloc(5 * kMegabyte)), file('b', Buffer.alloc(5 * kMegabyte))]), 422),
    form('whose file holds what looks like a boundary', multipart([file('a', `\r\n--${kBoundary}x\r\n--${kBoundary.slice(0, -1)}\r\n`)]), 400),
    form('whose file holds nearly a boundary', multipart([file('a', `\r\n--${kBoundary.slice(0, -1)}\r\n-${kBoundary}`)]), 200),
    form('of empty files', multipart([file('a', ''), file('b', '')]), 200),
    ...kBadNames.map(([name]) => ({ name: `form file ${JSON.stringify(name.slice(0, 30))}`, body: Buffer.concat([Buffer.from(partHead(file(name))), Buffer.from(`x\r\n--${kBoundary}--\r\n`)]), ...(/[\x00-\x1f\x7f]/.test(name) ? { status: 400 } : { status: 200, isRejected: true }) })),
  ];
}
