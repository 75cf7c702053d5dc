// Preloaded into the CDK CLI (NODE_OPTIONS): it looks at a stack every 5 s and at its events every
// 2 s, which suits AWS's minutes; the embedded AWS answers in milliseconds. Only these two
// intervals become shorter, everything else of the CLI is as it is installed.
'use strict';

const SHORTER = new Map([
  [5000, 250],
  [2000, 250],
]);
const original = globalThis.setTimeout;

function setTimeout(callback, delay, ...rest) {
  return original(callback, SHORTER.get(delay) ?? delay, ...rest);
}

Object.defineProperties(setTimeout, Object.getOwnPropertyDescriptors(original));
globalThis.setTimeout = setTimeout;
