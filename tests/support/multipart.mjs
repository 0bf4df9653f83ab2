// multipart/form-data as browsers and curl write it.

export const kBoundary = 'gbgreg-test-boundary-7f3a';

// Parts are { name, filename?, type?, content }. The filename goes in as it is, quotes escaped as browsers escape them.
export function multipart(parts, { boundary = kBoundary, close = true } = {}) {
  const pieces = [];
  for (const part of parts) {
    pieces.push(Buffer.from(partHead(part, boundary)), Buffer.from(part.content), Buffer.from('\r\n'));
  }
  if (close) pieces.push(Buffer.from(`--${boundary}--\r\n`));
  return Buffer.concat(pieces);
}

export function partHead({ name, filename, type }, boundary = kBoundary) {
  let head = `--${boundary}\r\nContent-Disposition: form-data; name="${name}"`;
  if (filename !== undefined) head += `; filename="${filename.replaceAll('"', '%22')}"`;
  head += '\r\n';
  if (filename !== undefined || type) head += `Content-Type: ${type ?? 'application/octet-stream'}\r\n`;
  return `${head}\r\n`;
}

export const contentType = (boundary = kBoundary) => ({ 'content-type': `multipart/form-data; boundary=${boundary}` });

export function fileBody(content, filename = 'file.txt', more = []) {
  return multipart([{ name: 'file', filename, content }, ...more]);
}
