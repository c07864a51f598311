// The lab's sabotages edit the source text. This test reports a change of that text at once, not minutes later in the
// fault tests.
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import * as sabotages from '../faults/lab/sabotages.ts';

describe.each(Object.values(sabotages))('$name', ({ edits }) => {
  test.each(edits)('finds its place in $file', ({ file, find }) => {
    expect(readFileSync(`src/${file}`, 'utf8').split(find)).toHaveLength(2);
  });
});
