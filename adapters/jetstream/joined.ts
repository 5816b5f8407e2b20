/**
 * Answers that many want at the same moment are found once for all of them. Whoever asks while one is being found gets the next
 * one: what was so when they asked is in it.
 */
export class Joined<Answer> {
  readonly #underWay = new Map<string, { readonly end: Promise<void>; next: Promise<Answer> | undefined }>();

  /** @param question two with the same name want the same */
  ask(question: string, find: () => Promise<Answer>): Promise<Answer> {
    const underWay = this.#underWay.get(question);
    if (underWay === undefined) return this.#begin(question, find);
    return underWay.next ??= underWay.end.then(() => this.#begin(question, find));
  }

  #begin(question: string, find: () => Promise<Answer>): Promise<Answer> {
    const answer = find();
    const end = answer.then(() => {}, () => {}); // Whoever asked is told.
    const underWay = { end, next: undefined };
    this.#underWay.set(question, underWay);
    void end.then(() => {
      if (underWay.next === undefined) this.#underWay.delete(question);
    });
    return answer;
  }
}
