/** Section 1: the model, and a text that it continues. */
import { continuePrompt, type Demo, type DemoText, samplingOf } from "./demo.js";

export interface ModelSection {
  readonly title: string;
  readonly plain: DemoText;
}

export async function showModel(demo: Demo): Promise<ModelSection> {
  return {
    title: demo.documents.test[0]!.title,
    plain: await continuePrompt(demo, demo.model, samplingOf(demo)),
  };
}
