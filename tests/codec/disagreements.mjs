// Where our codec and llhttp read the same bytes differently, and why ours is right. An entry fits a difference of
// compare.mjs ({ kind, asked, text, what, ours, theirs, method }) as narrowly as it can. "9112" and "9110" are RFCs.
import { kKnownMethods } from '../support/llhttp.mjs';

const kNotRefused = /^(accepted|accepted as an upgrade|waits|in_body)$/;

// We refuse, in these words, what llhttp takes or would take.
const weRefuse = (name, why, words, text = /^/) => ({
  name, why,
  fits: (d) => d.what === 'end' && d.ours === `refused: ${words}` && kNotRefused.test(d.theirs) && text.test(d.text),
});

// llhttp refuses, in these words, what we take or would take.
const theyRefuse = (name, why, words, isRight) => ({
  name, why,
  fits: (d) => d.what === 'end' && !d.ours.startsWith('refused') && d.theirs === `refused: ${words}` && isRight(d),
});

const has = (pattern) => ({ text }) => pattern.test(text);

const isUnknown = ({ method }) => method !== undefined && !kKnownMethods.includes(method);

export const disagreements = [
  // Requests.
  weRefuse('a bare line end before the request line', '9112 2.2: a server should pass over an empty line, and an empty line is CR LF', 'The request line must end with CR LF.', /(^|\n|hi)[\r\n]/),
  weRefuse('many empty lines', '9112 2.2 speaks of at least one; without a bound they would be a request that never begins', 'Too many empty lines stand before the request line.', /(\r\n){9}/),
  weRefuse('a request line of another form', '9112 3: one blank between method, target and version, and the version is HTTP/x.y; 3: recipients should not repair it', 'The request line must be `METHOD /path HTTP/1.1`.'),
  weRefuse('another major version', '9110 2.5: what is said is HTTP/1, and the syntax of others is not known', 'The only version of HTTP understood is 1. Use HTTP/1.1.', /HTTP\/[02-9]\.\d/),
  weRefuse('a target that is neither a path nor an address', '9112 3.2: CONNECT and other schemes are for proxies, the asterisk stands alone', "The request target must begin with '/'."),
  weRefuse('an address without a host that can be one', '9110 4.2.1: an empty host is invalid; 4.2.4: a user name there is to be treated as an error', 'The request target must name a host, like http://host/path.', /https?:\/\//i),
  weRefuse('no Host, or several', '9112 3.2: a server must answer 400', 'Host must be sent once.'),
  weRefuse('a Host that is none', '9112 3.2: a server must answer 400 to an invalid field value', 'Host must be a name or an address, with a port if need be.', /host:/i),
  weRefuse('an expectation that nobody meets', '9110 10.1.1: a server may refuse it', 'The only expectation met is 100-continue.', /expect:/i),
  theyRefuse('a method that llhttp does not know', '9110 9.1: methods are any token; the server answers 405 or 501 above the codec', 'HPE_INVALID_METHOD: Invalid method encountered', isUnknown),
  theyRefuse('a method that only begins like one that llhttp knows', 'as above', 'HPE_INVALID_METHOD: Expected space after method', isUnknown),
  theyRefuse('a method that HTTP/2 uses for its preface', 'as above', 'HPE_INVALID_VERSION: Expected HTTP/2 Connection Preface', ({ method }) => method === 'PRI'),

  // Both kinds.
  theyRefuse('a later minor version', '9110 2.5: a recipient treats it as the highest that it knows', 'HPE_INVALID_VERSION: Invalid HTTP version', has(/HTTP\/1\.[2-9]/)),
  weRefuse('too many fields', 'a bound of ours (options.h); 9110 5.4', 'A request may have at most 100 header lines.'),
  weRefuse('a head that is too large', 'a bound of ours (options.h); 9110 5.4', 'The head is over its bound.'),
  { name: 'Proxy-Connection', why: '9112 C.2.2: it is no field of HTTP/1.1, and is to be ignored', fits: (d) => d.what === 'keepAlive' && d.ours && /proxy-connection:[^\r]*close/i.test(d.text) },
  { name: 'close together with keep-alive', why: '9112 9.3: close goes first', fits: (d) => d.what === 'keepAlive' && !d.ours && /connection:[^\r]*close/i.test(d.text) && /keep-alive/i.test(d.text) },
  { name: 'an upgrade that is not made', why: '9110 7.8: a server may ignore Upgrade; the connection goes on with HTTP', fits: (d) => d.what === 'upgrade' && /upgrade:|CONNECT \//i.test(d.text) },

  // Framing.
  weRefuse('another transfer coding', '9112 6.1: a server should answer 501 to one that it does not understand', 'The only transfer coding understood is chunked.', /transfer-encoding:/i),
  weRefuse('Transfer-Encoding twice', '9112 6.1: chunked must be applied once only', 'Transfer-Encoding must be sent once.'),
  weRefuse('chunks of HTTP/1.0', '9112 6.1: such framing is to be treated as faulty', 'HTTP/1.0 has no Transfer-Encoding.', /HTTP\/1\.0/),
  { name: 'a tab behind the coding of an answer', why: '9110 5.5: blanks around a field value are no part of it; read as another coding it would go on to the end of the connection',
    fits: (d) => d.kind === 'response' && (d.what === 'end' || d.what === 'body' || d.what === 'keepAlive') && /transfer-encoding:[ \t]*chunked *\t/i.test(d.text) },
  { name: 'a tab behind close or keep-alive', why: '9110 5.5, as well', fits: (d) => d.what === 'keepAlive' && /connection:[^\r]*(close|keep-alive) *\t/i.test(d.text) },
  weRefuse('a coding that is empty beside a length', '9112 6.1: the two together are to be handled as an error', 'Content-Length and Transfer-Encoding must not be sent together.', /transfer-encoding:[ \t]*\r\n/i),
  theyRefuse('a tab behind the coding of a request', 'as above', 'HPE_INVALID_TRANSFER_ENCODING: Request has invalid `Transfer-Encoding`', has(/transfer-encoding:[ \t]*chunked *\t/i)),
  theyRefuse('blanks behind a length', '9110 5.5: blanks around a field value are no part of it', 'HPE_INVALID_CONTENT_LENGTH: Invalid character in Content-Length', has(/content-length:[ \t]*\d+[ \t]+(\r|$)/i)),
  { name: 'a head without a length for HEAD', why: '9112 6.3, 1: an answer to HEAD ends with its head, so the connection can go on', fits: (d) => d.what === 'keepAlive' && d.kind === 'response' && d.asked === 'HEAD' && d.ours },

  // Chunks.
  weRefuse('more than 15 digits of a size', 'a bound of ours: 9112 7.1 asks recipients to foresee large numbers and to prevent errors by them', 'A chunk size has too many digits.', /[0-9a-f]{16}/i),
  weRefuse('long extensions', '9112 7.1.1: a server ought to limit their total length', 'The chunk extensions of a body are too long.', /;/),
  weRefuse('a long trailer', 'a bound of ours (options.h); 9110 6.5', 'The trailer is too long.'),
  theyRefuse('an extension of another form', '9112 7.1.1: those that are not understood are to be ignored; they end with the line, and have no control characters', 'HPE_STRICT: Invalid character in chunk extensions', has(/[0-9a-f]+[ \t]*;/i)),
  theyRefuse('the name of an extension of another form', 'as above', 'HPE_STRICT: Invalid character in chunk extensions name', has(/[0-9a-f]+[ \t]*;/i)),
  theyRefuse('the value of an extension of another form', 'as above', 'HPE_STRICT: Invalid character in chunk extensions value', has(/[0-9a-f]+[ \t]*;[^\r]*=/i)),
  theyRefuse('a quoted value of an extension of another form', 'as above', 'HPE_STRICT: Invalid character in chunk extensions quoted value', has(/[0-9a-f]+[ \t]*;[^\r]*"/i)),
  theyRefuse('an escape of an extension of another form', 'as above', 'HPE_STRICT: Invalid quoted-pair in chunk extensions quoted value', has(/[0-9a-f]+[ \t]*;[^\r]*"[^\r]*\\/i)),
  theyRefuse('something behind a quoted value of an extension', 'as above', 'HPE_STRICT: Invalid character in chunk extensions quote value', has(/[0-9a-f]+[ \t]*;[^\r]*"[^\r]*"/i)),
  theyRefuse('blanks before an extension', '9112 7.1.1: there may be blanks before the semicolon', 'HPE_INVALID_CHUNK_SIZE: Invalid character in chunk size', has(/[0-9a-f]+[ \t]+(;|$)/i)),
  theyRefuse('a length in a trailer', '9110 6.5.1 and 9112 7.1.2: a trailer says nothing about framing; we drop all of them', "HPE_INVALID_CONTENT_LENGTH: Content-Length can't be present with Transfer-Encoding", has(/\n0+[^\n]*\r\n([^\n]+\r\n)*content-length:/i)),
  theyRefuse('a coding in a trailer', 'as above', 'HPE_INVALID_TRANSFER_ENCODING: Invalid `Transfer-Encoding` header value', has(/\n0+[^\n]*\r\n([^\n]+\r\n)*transfer-encoding:/i)),
  theyRefuse('close in a trailer', '9110 6.5.1: nor does a trailer say anything about the connection', 'HPE_CLOSED_CONNECTION: Data after `Connection: close`', has(/\n0+[^\n]*\r\n([^\n]+\r\n)*connection:/i)),

  // Answers.
  { name: '101 without an upgrade', why: '9110 15.2: an interim answer that nobody expected is passed over', fits: (d) => d.kind === 'response' && d.what === 'end' && d.theirs === 'waits' && /HTTP\/1\.\d 101/.test(d.text) },
  { name: 'an interim answer with a length', why: '9112 6.3, 1: an interim answer has no body, whatever its fields say', fits: (d) => d.kind === 'response' && (d.what === 'body' || d.what === 'end') && /HTTP\/1\.\d 1\d\d/.test(d.text) && /content-length:|transfer-encoding:/i.test(d.text) },
  { name: 'CR CR for a line end', why: '9112 2.2: a line ends with CR LF, and a bare CR makes a message invalid', fits: (d) => d.kind === 'response' && d.what === 'end' && d.ours !== 'accepted' && d.theirs === 'accepted' && /HTTP[^\n]*\r\r/.test(d.text) },
  weRefuse('no status line at all', '9112 4: an answer begins with its status line; only requests may have an empty line before', 'no status line'),
  weRefuse('a status line of another protocol or major version', '9112 4 and 9110 2.5: what was asked was HTTP/1, and the answer is', 'broken status line', /HTTP\/[02-9]\.\d|RTSP|ICE/),
  weRefuse('a status that there cannot be', '9110 15: statuses are from 100 to 599', 'status out of range'),
];
