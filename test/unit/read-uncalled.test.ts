import { describe, expect, test, vi } from 'vitest';
import { noteReadUncalled } from '../../src/util/read-uncalled.ts';

class Lamp {
  isLit(): boolean {
    return true;
  }
  static readonly told: Lamp[] = [];
  static {
    noteReadUncalled(this.prototype, 'isLit', (lamp) => void this.told.push(lamp));
  }
}

describe('a method that answers yes or no', () => {
  test('is reported once if it is read again and again without a call', () => {
    Lamp.told.length = 0;
    const [lamp, other] = [new Lamp(), new Lamp()];
    const read = (): unknown => (lamp as unknown as { isLit: unknown }).isLit; // as in `if (lamp.isLit)`
    for (let turn = 0; turn < 10; turn++) expect(read()).toBeTruthy();
    expect(other.isLit()).toBe(true);
    expect(Lamp.told).toEqual([lamp]);
  });

  test('is not reported if it is called, looked for, passed on or replaced', () => {
    Lamp.told.length = 0;
    const lamp = new Lamp();
    for (let turn = 0; turn < 10; turn++) expect(lamp.isLit()).toBe(true);
    expect(typeof (lamp as unknown as Record<string, unknown>)['isLit']).toBe('function');
    const handedOn = lamp.isLit.bind(lamp);
    expect(handedOn()).toBe(true);
    const spy = vi.spyOn(lamp, 'isLit').mockReturnValue(false);
    expect(lamp.isLit()).toBe(false);
    spy.mockRestore();
    lamp.isLit = () => false;
    expect(lamp.isLit()).toBe(false);
    expect(Lamp.told).toEqual([]);
  });
});
