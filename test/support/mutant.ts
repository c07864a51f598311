/** Builds mistakes into the library from source, to check that a test finds them. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Plugin } from 'esbuild';

export interface Edit {
  /** Path below `src/`. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

/** A deliberate mistake in the library. */
export interface Mutant {
  readonly name: string;
  readonly edits: readonly Edit[];
}

/**
 * Edits the library during bundling.
 * @param source the folder `src/`.
 */
export function editing(source: string, edits: readonly Edit[]): Plugin {
  const files = new Map(edits.map(({ file }) => [join(source, file), file]));
  return {
    name: 'editing',
    setup: (esbuild) =>
      esbuild.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
        const file = files.get(path);
        if (file === undefined) return undefined;
        let contents = await readFile(path, 'utf8');
        for (const { find, replace } of edits.filter((edit) => edit.file === file)) {
          if (contents.split(find).length !== 2)
            throw new Error(`${file} does not have exactly one place like this any more: ${find}`);
          contents = contents.replace(find, () => replace);
        }
        return { contents, loader: 'ts' };
      }),
  };
}
