// What /proc says about a process.
import fs from 'node:fs';

// A zombie is gone for every purpose but its parent's bookkeeping.
export function isAlive(pid) {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
    return !['Z', 'X'].includes(stat.slice(stat.lastIndexOf(')') + 2)[0]);
  } catch {
    return false;
  }
}

export function childrenOf(pid) {
  const children = [];
  for (const name of fs.readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = fs.readFileSync(`/proc/${name}/stat`, 'utf8');
      const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (Number(parent) === pid && state !== 'Z') children.push(Number(name));
    } catch {
      // It ended while we looked.
    }
  }
  return children;
}

export function commandLine(pid) {
  try {
    return fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
  } catch {
    return [];
  }
}

// But for the database's: a connection of its pool opens the files that it lacks when it is first used, which is no
// request's doing and may be at any time.
export function openFiles(pid) {
  return openedBy(pid).filter((target) => !target.includes('.sqlite')).length;
}

export function openSockets(pid) {
  return openedBy(pid).filter((target) => target.startsWith('socket:')).length;
}

function openedBy(pid) {
  return fs.readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [fs.readlinkSync(`/proc/${pid}/fd/${fd}`)];
    } catch {
      return []; // It was closed while we looked.
    }
  });
}

// { VmRSS, VmHWM } in bytes.
export function memoryOf(pid) {
  const status = fs.readFileSync(`/proc/${pid}/status`, 'utf8');
  const field = (name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)[1]) * 1024;
  return { VmRSS: field('VmRSS'), VmHWM: field('VmHWM') };
}

// Makes VmHWM begin again at what is resident now.
export function resetPeakMemory(pid) {
  fs.writeFileSync(`/proc/${pid}/clear_refs`, '5');
}
