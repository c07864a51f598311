import { gzipSync } from 'node:zlib';
import { type Folded, type Frame, functionKey } from './folded.ts';
import { Message } from './protobuf.ts';

/**
 * Writes pprof's own format, gzipped. The numbers of the fields are from github.com/google/pprof/proto/profile.proto.
 *
 * @param comment shown by `go tool pprof -comments`, for example the process and the reason.
 */
export const encodePprof = (folded: Folded, comment = ''): Uint8Array<ArrayBuffer> =>
  new Uint8Array(gzipSync(pprofMessage(folded, comment).finish()));

function pprofMessage(folded: Folded, comment: string): Message {
  const strings = new Table<string>();
  strings.idOf('', ''); // the format requires '' as string 0
  const text = (value: string): number => strings.idOf(value, value) - 1;
  const functions = new Table<Frame>();
  const locations = new Table<{ functionId: number; line: number }>();
  const locationOf = (frame: Frame): number => {
    const functionId = functions.idOf(functionKey(frame), frame);
    return locations.idOf(`${functionId}:${frame.line}`, { functionId, line: frame.line });
  };

  const profile = new Message();
  for (const { type, unit } of folded.types) profile.message(1, valueType(text(type), text(unit)));
  for (const { frames, values } of folded.stacks) {
    profile.message(2, new Message().packed(1, frames.map(locationOf)).packed(2, values.map(Math.round)));
  }
  // Without a mapping, `go tool pprof` warns "Main binary filename not available".
  profile.message(
    3,
    new Message().integer(1, 1).integer(5, text('node')).integer(7, 1).integer(8, 1).integer(9, 1),
  );
  for (const [id, { functionId, line }] of locations.entries()) {
    const where = new Message().integer(1, functionId).integer(2, line);
    profile.message(4, new Message().integer(1, id).integer(2, 1).message(4, where));
  }
  for (const [id, { name, file, start }] of functions.entries()) {
    const named = new Message().integer(1, id).integer(2, text(name)).integer(3, text(name));
    profile.message(5, named.integer(4, text(file)).integer(5, start));
  }
  profile.integer(9, BigInt(Math.round(folded.takenAt)) * 1_000_000n);
  profile.integer(10, Math.round(folded.durationMs * 1e6));
  const last = folded.types.at(-1);
  if (last !== undefined) {
    profile.message(11, valueType(text(last.type), text(last.unit))).integer(12, 1);
    profile.integer(14, text(last.type));
  }
  if (comment !== '') profile.packed(13, [text(comment)]);
  for (const [, value] of strings.entries()) profile.string(6, value); // last, because `text` adds strings
  return profile;
}

const valueType = (type: number, unit: number): Message => new Message().integer(1, type).integer(2, unit);

/** Gives every new key the next number, from 1. */
class Table<T> {
  readonly #ids = new Map<string, number>();
  readonly #items: T[] = [];

  idOf(key: string, item: T): number {
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    this.#items.push(item);
    this.#ids.set(key, this.#items.length);
    return this.#items.length;
  }

  *entries(): Generator<[id: number, item: T]> {
    for (const [index, item] of this.#items.entries()) yield [index + 1, item];
  }
}
