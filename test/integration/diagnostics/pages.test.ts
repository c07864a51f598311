import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BrowserPage, chromiumPath } from '../../support/chromium.ts';
import { RunawayChild, buildDiagnostics } from '../../support/diagnostics-child.ts';

/** Set SCREENSHOTS to a folder to see the pages. */
const { SCREENSHOTS } = process.env;
const why = chromiumPath === undefined ? ' (SKIPPED without Chromium: apt-get install chromium)' : '';

describe.skipIf(chromiumPath === undefined)(`the pages in a real browser${why}`, () => {
  let child: RunawayChild;
  let page: BrowserPage;
  let base: string;

  beforeAll(async () => {
    const options = { stallMs: 500, pollMs: 250, profileMs: 500, fake: true, serve: {} };
    child = await RunawayChild.start({ module: await buildDiagnostics(), kind: 'microtask', options });
    base = await child.said((each) => each.url);
    page = await BrowserPage.open(String(chromiumPath));
    await child.begin();
    await child.headline(20_000);
  });
  afterAll(async () => {
    await page?.[Symbol.asyncDispose]();
    await child?.[Symbol.asyncDispose]();
  });

  const look = async (name: string): Promise<void> => {
    for (const scheme of ['light', 'dark'] as const) {
      await page.scheme(scheme);
      if (SCREENSHOTS === undefined) continue;
      mkdirSync(SCREENSHOTS, { recursive: true });
      writeFileSync(join(SCREENSHOTS, `${name}-${scheme}.png`), await page.screenshot());
    }
  };

  /** The lowest contrast between a text and its background. */
  const CONTRAST = `(() => {
    const light = (rgb) => rgb.map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
      .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const rgb = (color) => color.match(/[\\d.]+/g).slice(0, 3).map(Number);
    return Math.min(...Array.from(document.querySelectorAll('#chart .box'), (box) => {
      const [a, b] = [getComputedStyle(box.querySelector('rect')).fill, getComputedStyle(box.querySelector('text')).fill]
        .map((color) => light(rgb(color)) + 0.05);
      return Math.max(a, b) / Math.min(a, b);
    }));
  })()`;
  const shown = (): Promise<string[]> =>
    page.evaluate(`Array.from(document.querySelectorAll('#chart .box'))
      .filter((box) => box.style.display !== 'none').map((box) => box.getAttribute('aria-label').split(': ')[0])`);

  it('the front page shows the leader, the runaways and the profiles', async () => {
    await page.size(1280, 1150);
    await page.goto(`${base}/`);
    await look('index');
    const text = await page.evaluate<string>('document.body.innerText');
    for (const wanted of [
      'sync-master',
      'leading',
      '10.0.0.7',
      'does not answer',
      'guiltyMicrotask',
      'newLeasesLock',
      'Flame graph',
    ]) {
      expect(text).toContain(wanted);
    }
    await page.size(390, 844);
    await look('index-phone');
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(390);
  });

  it('the flame graph zooms by click, searches, shows figures and goes back', async () => {
    await page.size(1280, 800);
    await page.goto(`${base}/debug/pprof/runaways/0/flamegraph`);
    const all = await shown();
    expect(all[0]).toBe('all');
    expect(all).toContain('guiltyMicrotask');
    await look('flame');

    const at = await page.evaluate<{ x: number; y: number; width: number }>(`(() => {
      const box = Array.from(document.querySelectorAll('#chart .box')).find((each) => each.getAttribute('aria-label').startsWith('guiltyMicrotask:'));
      const { x, y, width } = box.querySelector('rect').getBoundingClientRect();
      return { x: x + width / 2, y: y + 8, width };
    })()`);
    await page.click(at.x, at.y);
    expect((await shown()).length).toBeLessThan(all.length);
    expect(await page.evaluate(`document.getElementById('detail').textContent`)).toMatch(
      /^guiltyMicrotask: .*runaway-child\.mjs:\d+$/,
    );
    const width = await page.evaluate<number>(
      `Math.max(...Array.from(document.querySelectorAll('#chart .box:not(.caller)')).filter((box) => box.style.display !== 'none').map((box) => box.querySelector('rect').getBoundingClientRect().width))`,
    );
    expect(width).toBeGreaterThan(at.width);
    await look('flame-zoomed');

    await page.key('Escape');
    expect(await shown()).toEqual(all);
    await page.key('/');
    await page.type('guilty');
    expect(await page.evaluate(`document.getElementById('found').textContent`)).toMatch(
      /box(es)?, [\d.]+ % of the whole/,
    );
    await look('flame-search');
  });

  it('the flame graph works by keyboard alone, and describes the figures in words', async () => {
    await page.goto(`${base}/debug/pprof/runaways/0/flamegraph`);
    const all = await shown();
    const focused = (): Promise<string> =>
      page.evaluate(
        `document.activeElement.getAttribute('aria-label')?.split(': ')[0] ?? document.activeElement.id`,
      );
    const boxes = await page.evaluate<
      string[]
    >(`Array.from(document.querySelectorAll('#chart .box'), (box) => {
      box.focus();
      return document.activeElement === box ? document.getElementById('detail').textContent : 'not focused';
    })`);
    expect(boxes[0]).toMatch(/^all: .*, the whole profile$/);
    for (const words of boxes.slice(1))
      expect(words).toMatch(/: [\d.]+(ns|µs|ms|s), +[\d.]+% of the profile; .* of it in the function itself/);

    await page.evaluate(`document.querySelector('#chart .box').focus()`);
    await page.key('Tab');
    expect(await focused()).toBe(all[1]);
    await page.key('ArrowUp');
    expect(await focused()).toBe('all');
    for (let i = 0; i < all.length && (await focused()) !== 'guiltyMicrotask'; i++)
      await page.key('ArrowDown');
    expect(await focused()).toBe('guiltyMicrotask');
    await page.key('Enter');
    const zoomed = await shown();
    expect(zoomed.length).toBeLessThan(all.length);
    await page.key('ArrowDown');
    await page.key('Enter');
    expect((await shown()).length).toBeLessThanOrEqual(zoomed.length);
    await page.key('Backspace');
    expect(await shown()).toEqual(zoomed);
    await page.evaluate(`document.getElementById('back').click()`);
    expect(await shown()).toEqual(all);
    expect(await page.evaluate(`document.getElementById('back').hidden`)).toBe(true);
  });

  it('the flame graph fits 400 pixels', async () => {
    await page.size(400, 800);
    await page.goto(`${base}/debug/pprof/runaways/0/flamegraph`);
    await look('flame-phone');
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(400);
    const labels = await page.evaluate<string[]>(
      `Array.from(document.querySelectorAll('#chart .box text'), (text) => text.textContent).filter((text) => text !== '')`,
    );
    expect(labels.some((label) => label.startsWith('guilty'))).toBe(true);
    const cut =
      await page.evaluate<number>(`Math.max(...Array.from(document.querySelectorAll('#chart .box'), (box) =>
      box.querySelector('text').getBoundingClientRect().right - box.querySelector('rect').getBoundingClientRect().right))`);
    expect(cut).toBeLessThanOrEqual(0);
    await page.size(1280, 800);
  });

  it.each(['light', 'dark'] as const)('every box is readable in %s', async (scheme) => {
    await page.scheme(scheme);
    expect(await page.evaluate<number>(CONTRAST)).toBeGreaterThanOrEqual(4.5);
  });

  it('the policy of a new flame graph allows its script', async () => {
    await page.goto(`${base}/debug/pprof/flamegraph?seconds=0.3`);
    expect(await page.evaluate(`document.getElementById('search').disabled`)).toBe(false);
  });

  it('every link leads to an existing page', async () => {
    await page.goto(`${base}/`);
    const links = await page.evaluate<string[]>(
      `Array.from(document.querySelectorAll('a'), (link) => link.href)`,
    );
    expect(links.length).toBeGreaterThan(5);
    for (const link of links) {
      const { status } = await fetch(link);
      expect(status === 200 || (link.endsWith('/healthz') && status === 503), `${link}: ${status}`).toBe(
        true,
      );
    }
  });

  it('no page loads anything from another origin, and the browser reports no error', () => {
    const foreign = page.requests.filter((url) => !url.startsWith(base) && url !== 'about:blank');
    expect(foreign).toEqual([]);
    expect(page.complaints.filter((text) => !text.includes('favicon'))).toEqual([]);
  });
});
