/** What the person who runs the pipeline can do something about. */
export class StageError extends Error {
  /**
   * @param {string} message What is wrong.
   * @param {string} [parameter] The parameter whose value is at fault.
   */
  constructor(message, parameter) {
    super(message);
    this.name = "StageError";
    this.parameter = parameter;
  }
}
