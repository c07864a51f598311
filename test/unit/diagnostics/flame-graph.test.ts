import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { renderFlameSvg } from '../../../src/diagnostics/formats/flame-graph.ts';
import { layout } from '../../../src/diagnostics/formats/flame-layout.ts';
import { renderFlamePage } from '../../../src/diagnostics/formats/flame-page.ts';
import { fold } from '../../../src/diagnostics/formats/fold.ts';
import { escapeMarkup, hashSource } from '../../../src/diagnostics/formats/markup.ts';
import { anyProfile, sampleProfile } from '../../support/sample-profile.ts';
import { xmlProblem } from '../../support/xml-problem.ts';

describe('layout', () => {
  it('puts a callee on its caller, never wider, and beside its siblings', () => {
    fc.assert(
      fc.property(anyProfile, (profile) => {
        const { boxes } = layout(fold(profile));
        for (const [index, box] of boxes.entries()) {
          if (index === 0) continue;
          const caller = boxes.slice(0, index).findLast(({ depth }) => depth === box.depth - 1);
          const left = boxes.slice(0, index).findLast(({ depth }) => depth === box.depth);
          expect(
            caller &&
              box.left >= caller.left - 1e-9 &&
              box.left + box.width <= caller.left + caller.width + 1e-9,
          ).toBe(true);
          expect(left === undefined || left.left + left.width <= box.left + 1e-9).toBe(true);
        }
      }),
    );
  });

  it("merges equal call paths, and keeps the caller's own time", () => {
    expect(
      layout(fold(sampleProfile())).boxes.map((box) => [
        box.frame?.name,
        box.depth,
        box.weight / 1e6,
        box.self / 1e6,
      ]),
    ).toEqual([
      [undefined, 0, 95, 0],
      ['(garbage collector)', 1, 5, 5],
      ['main', 1, 90, 0],
      ['spin', 2, 90, 40],
      ['call', 3, 50, 30],
      ['write', 4, 20, 20],
    ]);
  });

  it('draws a limited number of boxes, and leaves out the narrowest', () => {
    const { boxes, hidden } = layout(fold(sampleProfile()), 3);
    expect(boxes.map(({ frame }) => frame?.name)).toEqual([undefined, 'main', 'spin']);
    expect(hidden).toBeGreaterThan(0);
  });
});

describe('the picture', () => {
  it('is well-formed XML for any function name', () => {
    fc.assert(
      fc.property(anyProfile, fc.string(), (profile, title) => {
        expect(xmlProblem(renderFlameSvg(fold(profile), title))).toBeUndefined();
      }),
    );
  });

  it('loads nothing from elsewhere', () => {
    const svg = renderFlameSvg(fold(sampleProfile()), 'CPU').replace(
      'xmlns="http://www.w3.org/2000/svg"',
      '',
    );
    expect(svg).not.toMatch(/https?:|url\(|@import|href/);
  });
});

describe('the page', () => {
  const { html, policy } = renderFlamePage(fold(sampleProfile()), '<b>CPU</b>', ['a & b']);

  it('escapes what it prints', () => {
    expect(html).toContain('<h1>&#60;b&#62;CPU&#60;/b&#62;</h1>');
    expect(html).toContain('a &#38; b');
  });

  it('allows its own script and style by their hashes, and nothing else', () => {
    const [, script = ''] = /<script>([\s\S]*)<\/script>/.exec(html) ?? [];
    const [, style = ''] = /<style>([\s\S]*?)<\/style>/.exec(html) ?? [];
    expect(policy).toContain(`script-src ${hashSource(script)}`);
    expect(policy).toContain(`style-src ${hashSource(style)}`);
    expect(policy).toContain("default-src 'none'");
    expect(policy).not.toContain('unsafe');
  });

  it('loads nothing from elsewhere', () => {
    expect(html).not.toMatch(/(src|href|action)\s*=|https?:\/\/|url\(|@import/);
  });

  it('has no event handler or style attribute, which the policy would refuse', () => {
    expect(html).not.toMatch(/<[^>]*\s(on\w+|style)=/);
  });
});

it('escapes every character that could end a text, an attribute or the document', () => {
  expect(escapeMarkup(`</title><script>"'&\u0000\ud800`)).toBe(
    '&#60;/title&#62;&#60;script&#62;&#34;&#39;&#38;\ufffd\ufffd',
  );
});
