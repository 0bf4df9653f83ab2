// Two readings of the same bytes, and what differs between them.

// An end inside a head and one between two messages are the same to whoever waits for more.
const endOf = ({ state }) => (state === 'in_head' || state === 'complete' ? 'waits' : state);

const said = (reading) => (reading.state === 'refused' ? `refused: ${reading.why}` : endOf(reading));

function differenceOf(our, their) {
  for (const what of ['method', 'status', 'target', 'version', 'keepAlive']) {
    if (our[what] !== their[what]) return { what, ours: our[what], theirs: their[what] };
  }
  if (JSON.stringify(our.fields) !== JSON.stringify(their.fields)) return { what: 'fields', ours: our.fields, theirs: their.fields };
  if (!our.body.equals(their.body)) return { what: 'body', ours: our.body.toString('latin1'), theirs: their.body.toString('latin1') };
  return undefined;
}

// The first difference as { what, ours, theirs, method }, or undefined. `ended` is our reading with an empty line added, which
// makes every head whole. `method` is that of the request in which the readings part, as we read it.
export function compare(ours, ended, theirs) {
  for (let i = 0; i < Math.min(ours.messages.length, theirs.messages.length); ++i) {
    if (theirs.messages[i].upgrade) return { what: 'upgrade', ours: 'reads on', theirs: 'stops' };
    const difference = differenceOf(ours.messages[i], theirs.messages[i]);
    if (difference) return difference;
    // What follows is nobody's.
    if (!ours.messages[i].keepAlive) return undefined;
  }
  const next = Math.min(ours.messages.length, theirs.messages.length);
  const ourNext = ours.messages[next] ?? ours.underWay ?? ended.messages[next] ?? ended.underWay;
  const end = (our, their) => ({ what: 'end', ours: our, theirs: their, method: ourNext?.method });
  if (ours.messages.length > next) return end('accepted', said(theirs));
  if (theirs.messages.length > next) return end(said(ours), theirs.messages[next].upgrade ? 'accepted as an upgrade' : 'accepted');
  if (endOf(ours) === endOf(theirs)) return undefined;
  const willBeRefused = ours.state === 'in_head' && theirs.state === 'refused' && ended.state === 'refused' && ended.messages.length === next;
  return willBeRefused ? undefined : end(said(ours), said(theirs));
}
