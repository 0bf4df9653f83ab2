// Certificates for tests, made by the openssl command: an authority, and pairs that it signs.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

const kNewKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-noenc'];

const openssl = (...args) => execFileSync('openssl', args, { stdio: ['ignore', 'pipe', 'pipe'] });

export class Authority {
  constructor(folder) {
    this.folder = folder;
    this.file = path.join(folder, 'ca.pem');
    this.key = path.join(folder, 'ca.key');
    openssl('req', '-x509', ...kNewKey, '-keyout', this.key, '-out', this.file, '-subj', '/CN=gbgreg test authority', '-days', '2');
  }

  get certificate() {
    return fs.readFileSync(this.file);
  }

  // Writes a pair for this machine's own addresses, each file at once, over the one that was there. Returns their paths.
  sign(name, commonName = name) {
    const files = { certificate: path.join(this.folder, `${name}.pem`), key: path.join(this.folder, `${name}.key`) };
    openssl('req', '-x509', '-CA', this.file, '-CAkey', this.key, ...kNewKey, '-keyout', `${files.key}.new`, '-out', `${files.certificate}.new`,
      '-subj', `/CN=${commonName}`, '-addext', 'subjectAltName=IP:127.0.0.1,IP:::1,DNS:localhost', '-days', '2');
    for (const file of [files.key, files.certificate]) fs.renameSync(`${file}.new`, file);
    return files;
  }

  encrypted(files, passphrase) {
    const file = `${files.key}.encrypted`;
    openssl('pkey', '-in', files.key, '-aes256', '-passout', `pass:${passphrase}`, '-out', file);
    return file;
  }
}
