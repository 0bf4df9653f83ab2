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

// The first difference as { what, ours, theirs }, or undefined. `ended` is our reading with an empty line added, which makes
// every head whole.
export function compare(ours, ended, theirs) {
  for (let i = 0; i < Math.min(ours.messages.length, theirs.messages.length); ++i) {
    if (theirs.messages[i].upgrade) return { what: 'upgrade', ours: 'reads on', theirs: 'stops' };
    const difference = differenceOf(ours.messages[i], theirs.messages[i]);
    if (difference) return difference;
    // What follows is nobody's.
    if (!ours.messages[i].keepAlive) return undefined;
  }
  if (ours.messages.length === theirs.messages.length) {
    if (endOf(ours) === endOf(theirs)) return undefined;
    const willBeRefused = ours.state === 'in_head' && theirs.state === 'refused' && ended.state === 'refused';
    if (willBeRefused && ended.messages.length === ours.messages.length) return undefined;
    return { what: 'end', ours: said(ours), theirs: said(theirs) };
  }
  const whoReadOn = ours.messages.length > theirs.messages.length ? 'ours' : 'theirs';
  const accepted = 'accepted';
  return whoReadOn === 'ours'
    ? { what: 'end', ours: accepted, theirs: said(theirs) }
    : { what: 'end', ours: said(ours), theirs: theirs.messages[ours.messages.length].upgrade ? 'accepted as an upgrade' : accepted };
}
