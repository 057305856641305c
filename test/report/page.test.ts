import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { front } from '../../src/report/charts/scatter.ts';
import { comparisonPage } from '../../src/report/comparison/page.ts';
import { html } from '../../src/report/html/markup.ts';
import { reportPage } from '../../src/report/html/page.ts';
import { layerGrid } from '../../src/report/layers.ts';
import { freshFolder } from '../recipe/tiny-run.ts';
import { axeSource, chromiumPath, openBrowser } from './browser.ts';
import { sampleReport } from './sample.ts';

/** As the page holds its data. */
const embedded = (page: string): unknown =>
  JSON.parse(/<script type="application\/json" id="report">(.*?)<\/script>/s.exec(page)?.[1] ?? 'null');

describe('the page of a report', () => {
  const page = reportPage(sampleReport());

  test('holds the whole report as data, whatever its texts are', () => {
    expect(embedded(page)).toEqual(JSON.parse(JSON.stringify(sampleReport())));
    expect(page.match(/<\/script>/g)?.length).toBe(1);
    expect(page).toContain('<title>sample &lt;model&gt;: quantize → distill</title>');
    expect(page).not.toContain('<b>"&');
  });

  test('names nothing outside of itself', () => {
    expect(page).not.toMatch(/\b(src|href|xlink:href)="(?!#)/);
    expect(page).not.toMatch(/url\(|@import|<script(?! type="application\/json")/);
    expect(page).toContain("default-src 'none'");
  });

  test('shows what was asked, measured, found and lost', () => {
    for (const words of [
      'perplexity on stories',
      '✖ failed',
      'recipes/sample.yaml:9:5',
      'Bits by layer',
      'where the loss comes from',
      'together 0.045 nats',
      'there is no calibration data',
      'fallback: more damping',
      'compress run recipes/sample.yaml',
      'from the cache',
      '0:05 of it paused',
    ])
      expect(page).toContain(words);
  });

  test('is the same for the same report', () => {
    expect(reportPage(sampleReport())).toBe(page);
  });

  test('of a run without stages, gates, data and times leaves parts out', () => {
    const { course: _, ...bare } = sampleReport();
    const short = reportPage({ ...bare, stages: [], gates: [], data: [], warnings: [] });
    expect(short).toContain('no stage');
    expect(short).not.toContain('How the run went');
    expect(short).not.toContain('NaN');
  });

  test('shows values that are not finite without breaking a picture', () => {
    const report = sampleReport();
    const broken = report.metrics.after.map((after) => ({ ...after, result: { ...after.result, value: Number.NaN } }));
    const text = reportPage({ ...report, metrics: { ...report.metrics, after: broken } });
    for (const picture of text.match(/<svg.*?<\/svg>/gs) ?? []) expect(picture).not.toMatch(/="[^"]*NaN/);
  });
});

describe('markup', () => {
  test('escapes values, and leaves markup as it is', () => {
    expect(html`<p title="${'"<&>'}">${[html`<b>${1}</b>`, '<i>', false, undefined]}</p>`.text).toBe(
      '<p title="&quot;&lt;&amp;&gt;"><b>1</b>&lt;i&gt;</p>',
    );
  });
});

describe('layers', () => {
  const item = (name: string) => ({ name });

  test('are found in the names of transformers', () => {
    const names = ['model.layers.0.mlp.up', 'model.layers.0.q', 'model.layers.1.mlp.up', 'model.layers.1.q', 'lm_head'];
    const grid = layerGrid(names.map(item));
    expect(grid?.layers).toEqual([0, 1]);
    expect(grid?.rows.map(({ role }) => role)).toEqual(['mlp.up', 'q']);
    expect(grid?.rest).toEqual([item('lm_head')]);
  });

  test('are not invented where names do not repeat', () => {
    expect(layerGrid(['conv1', 'fire2.squeeze', 'fire3.expand', 'head'].map(item))).toBeUndefined();
    expect(layerGrid([])).toBeUndefined();
  });
});

describe('the front of size and quality', () => {
  const point = (label: string, x: number, y: number) => ({ label, x, y });

  test('holds what nothing beats in both', () => {
    const points = [point('a', 1, 9), point('b', 2, 5), point('c', 3, 6), point('d', 4, 1), point('e', 2, 7)];
    expect(front(points, 'lower').map(({ label }) => label)).toEqual(['a', 'b', 'd']);
    expect(front(points, 'higher').map(({ label }) => label)).toEqual(['a']);
  });
});

const chromium = chromiumPath();

describe.skipIf(!chromium)('in a browser (needs Chromium on the PATH)', { timeout: 60_000 }, () => {
  const folder = freshFolder();
  let browser: Browser;

  const several = [
    { name: 'w4', report: sampleReport() },
    { name: 'w3', report: sampleReport({ recipeText: 'model: m\nseed: 4\n' }) },
  ];
  const pages = { report: reportPage(sampleReport()), comparison: comparisonPage(several) };

  beforeAll(async () => {
    browser = await openBrowser(chromium ?? '');
    for (const [name, text] of Object.entries(pages)) writeFileSync(join(folder, `${name}.html`), text);
  });
  afterAll(() => browser?.close());

  test.each([
    ['report', 'light'],
    ['report', 'dark'],
    ['comparison', 'light'],
    ['comparison', 'dark'],
  ] as const)(
    'the %s is accessible in %s colours, complains of nothing and loads nothing',
    async (name, colorScheme) => {
      const page = await browser.newPage({ colorScheme });
      const complaints: string[] = [];
      const loaded: string[] = [];
      page.on('console', (message) => complaints.push(message.text()));
      page.on('pageerror', (error) => complaints.push(error.message));
      page.on('request', (request) => loaded.push(request.url()));
      await page.goto(`file://${join(folder, `${name}.html`)}`);
      await page.evaluate(await axeSource());
      const violations = await page.evaluate('axe.run().then(({ violations }) => violations.map(({ id }) => id))');
      expect(violations).toEqual([]);
      expect(complaints).toEqual([]);
      expect(loaded).toHaveLength(1);
      await page.close();
    },
  );

  test('nothing sticks out on a narrow screen', async () => {
    const page = await browser.newPage({ viewport: { width: 380, height: 700 } });
    await page.goto(`file://${join(folder, 'report.html')}`);
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(380);
    await page.close();
  });

  test('printed it has every part, those that are folded on the screen too', async () => {
    const page = await browser.newPage();
    await page.goto(`file://${join(folder, 'report.html')}`);
    const pdf = await page.pdf({ format: 'A4' });
    expect(pdf.subarray(0, 5).toString()).toBe('%PDF-');
    await page.emulateMedia({ media: 'print' });
    const folded = await page.locator('details table').first().boundingBox();
    expect(folded?.height ?? 0).toBeGreaterThan(50);
    await page.close();
  });
});
