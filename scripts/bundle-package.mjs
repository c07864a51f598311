/**
 * Puts all modules that `import 'etcd-election'` loads into one module, `main.js`. Node takes about a
 * millisecond to find, read and link a module, and there are more than a hundred. The build calls this after
 * tsc. The other entry points import some of these modules too. Such a module stays, and re-exports its former
 * exports from `main.js`, so that all share one state.
 * `node scripts/bundle-package.mjs [DIST]`
 */
import { build } from 'esbuild';
import { rm, writeFile } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * etcd3 has already loaded this package with `require`. An `import` of it would read its 28 files again to find
 * their names. Bundlers use the package itself: see `imports` in package.json.
 */
const REQUIRED = 'cockatiel';

const dist = resolve(process.argv[2] ?? fileURLToPath(new URL('../dist', import.meta.url)));
const MAIN = join(dist, 'main.js');

const options = { format: 'esm', platform: 'node', target: 'node20', absWorkingDir: dist, write: false };
const bundled = { ...options, bundle: true, packages: 'external' };
const braces = (names, show) => `{ ${names.map(show).join(', ')} }`;

const { metafile } = await build({ ...bundled, entryPoints: ['index.js'], metafile: true });
const modules = await Promise.all(Object.keys(metafile.inputs).map(readModule));
const contents = modules
  .filter(({ names }) => names.length > 0)
  .map(({ file, names }) => `export ${braces(names, ({ name, as }) => `${name} as ${as}`)} from './${file}';`)
  .join('\n');
const { outputFiles } = await build({ ...bundled, stdin: { contents, resolveDir: dist } });
const { code, shim } = requiring(outputFiles[0].text);

await writeFile(MAIN, code);
await writeFile(join(dist, `${REQUIRED}.cjs`), shim);
await Promise.all(modules.map(replace));

/** Two modules may export the same name, so `main.js` numbers the names. */
async function readModule(file, index) {
  const { metafile } = await build({ ...options, entryPoints: [file], metafile: true });
  const [{ exports }] = Object.values(metafile.outputs);
  return { file, names: exports.map((name) => ({ name, as: `${name}_${index}` })) };
}

async function replace({ file, names }) {
  const path = join(dist, file);
  const toMain = relative(dirname(path), MAIN);
  const from = toMain.startsWith('.') ? toMain : `./${toMain}`;
  if (names.length === 0) await rm(path);
  else
    await writeFile(path, `export ${braces(names, ({ name, as }) => `${as} as ${name}`)} from '${from}';\n`);
}

/** Node finds the names of a CommonJS module in its text, so each of them must be there. */
function requiring(text) {
  const [statement, list] =
    new RegExp(`import \\{([^}]*)\\} from "${REQUIRED}";`).exec(text) ?? missing(`an import of ${REQUIRED}`);
  const names = list.split(',').map((name) => name.trim().split(' as ')[0]);
  return {
    code: text.replace(statement, statement.replace(REQUIRED, `#${REQUIRED}`)),
    shim: `${names.map((name) => `exports.${name} = require('${REQUIRED}').${name};`).join('\n')}\n`,
  };
}

function missing(what) {
  throw new Error(`bundle-package: main.js has no ${what}`);
}
