import type { Site } from '../../../../analysis/sites.ts';
import { replaceAllUses } from '../../../../ir/edit/replace.ts';
import type { Value } from '../../../../ir/graph.ts';

/** Puts `value` in place of a site's output, under the name that this had, and takes the site's node away. */
export const finishSite = (site: Site, value: Value): void => {
  const { output, graph, node } = site;
  const { name } = output;
  if (output.type) value.type = output.type;
  replaceAllUses(output, value, { graph });
  graph.remove(node);
  // An output of the graph has handed its name on by now.
  if (output.name !== name) return;
  output.name = value.name;
  value.name = name;
};
