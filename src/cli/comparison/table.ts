import { attribution } from './attribution.ts';
import { contents } from './contents.ts';
import { measured } from './measured.ts';
import { recipes, sites } from './runs.ts';
import type { ComparisonSection } from './section.ts';

/** Everything that `compress compare` looks at, in the order in which it is told. */
export const comparisonSections: readonly ComparisonSection[] = [measured, attribution, contents, recipes, sites];
