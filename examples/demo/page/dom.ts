/** The first element that matches; the page's own markup is expected to have it. */
export function part(root: ParentNode, selector: string): HTMLElement {
  const found = root.querySelector<HTMLElement>(selector);
  if (found === null) throw new Error(`the page has no ${selector}`);
  return found;
}

/** A copy of a template's only element. */
export function clone(templateId: string): HTMLElement {
  const template = part(document, `#${templateId}`) as HTMLTemplateElement;
  return (template.content.cloneNode(true) as DocumentFragment).firstElementChild as HTMLElement;
}

/** An element with a class and a text. */
export function make<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  className: string,
  text = "",
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}
