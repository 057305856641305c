import { CompressError } from '../errors.ts';
import type { StageForecast } from '../stages/stage.ts';
import { askStage, type StageQuestion } from './ask-stage.ts';
import { calibrationOf, prepareRun } from './prepare.ts';
import { modelSource } from './references.ts';

/**
 * What the first stage of a recipe would lose for several budgets, predicted on its calibration data. Nothing is
 * changed or written; what is gathered stays in the cache for the run.
 * @throws CompressErrors with everything that is wrong with the recipe; 'usage' where its first stage weighs nothing.
 */
export const forecastRecipe = async (question: StageQuestion): Promise<StageForecast> => {
  const { recipe } = question;
  const [stage] = recipe.stages;
  const { card } = stage ?? {};
  if (!stage || !card?.forecast)
    throw new CompressError({
      code: 'usage',
      message: `there is no front to predict: ${stage ? `the first stage is '${stage.name}'` : 'the recipe has no stages'}`,
      hint: 'A front is predicted for a recipe that begins with auto.',
    });
  const prepared = await prepareRun(recipe);
  const models = await modelSource(prepared.model, stage, recipe);
  return askStage(question, calibrationOf(prepared), (context) =>
    card.forecast!(prepared.model, stage.options, { ...context, models }),
  );
};
