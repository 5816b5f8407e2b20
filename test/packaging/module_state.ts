import ts from "typescript";
import { lineOf, parse } from "./source_tree.ts";

const runtimeNames = new Set(["process", "Deno", "Bun", "Buffer", "NodeJS", "require", "__dirname", "__filename"]);
/** Constructors whose instances hold nothing that a later call could see. */
const stateless = new Set(["TextEncoder", "TextDecoder", "RegExp", "PeykError"]);
/** Containers that a type can close: `ReadonlyMap`, `ReadonlySet`. */
const containers = new Set(["Map", "Set"]);
/** What may be called while a module loads: it only computes a value, and the literals it is given are its own. */
const pureCalls = /^(Object\.(freeze|fromEntries|entries|keys|values)|Symbol|BigInt|assign|setup|setup\([^]*\)\.createMachine)$/;
const mutators = new Set([
  "push",
  "pop",
  "shift",
  "unshift",
  "splice",
  "sort",
  "reverse",
  "fill",
  "copyWithin",
  "set",
  "add",
  "delete",
  "clear",
]);

/** Whether the identifier reads or declares a name, rather than naming a property of something else. */
function isName(node: ts.Identifier): boolean {
  const { parent } = node;
  if (ts.isPropertyAccessExpression(parent)) return parent.expression === node || isGlobal(parent.expression);
  if (ts.isQualifiedName(parent)) return parent.left === node;
  if (ts.isBindingElement(parent) || ts.isImportSpecifier(parent)) return parent.propertyName !== node;
  const named = ts.isPropertyAssignment(parent) || ts.isClassElement(parent) || ts.isTypeElement(parent) ||
    ts.isNamedTupleMember(parent);
  return !(named && parent.name === node);
}

function isGlobal(node: ts.Node): boolean {
  return ts.isIdentifier(node) && (node.text === "globalThis" || node.text === "self" || node.text === "window");
}

/** `globalThis["Deno"]` and `"Deno" in globalThis`. */
function asksForName(node: ts.StringLiteralLike): boolean {
  const { parent } = node;
  return (ts.isElementAccessExpression(parent) && isGlobal(parent.expression)) ||
    (ts.isBinaryExpression(parent) && parent.operatorToken.kind === ts.SyntaxKind.InKeyword && isGlobal(parent.right));
}

/** Every place where the file names a runtime's own globals, as `file:line: what`. */
export function runtimeFaults(path: string, text: string): string[] {
  const faults: string[] = [];
  const visit = (node: ts.Node): void => {
    const name = ts.isIdentifier(node) && isName(node)
      ? node.text
      : ts.isStringLiteralLike(node) && asksForName(node)
      ? node.text
      : undefined;
    if (name !== undefined && runtimeNames.has(name)) faults.push(`${path}:${lineOf(node)}: names ${name}`);
    ts.forEachChild(node, visit);
  };
  visit(parse(path, text));
  return faults;
}

/** What nobody can change in a value: a type closes containers too, a pure call (frozen, a machine's own) only its literals. */
type Closed = "nothing" | "literals" | "everything";

/** The declared types that close a value: `as const`, `readonly T[]`, `Readonly…<…>`. */
function closedBy(type: ts.TypeNode | undefined, value: ts.Expression): Closed {
  if (ts.isAsExpression(value) && value.type.getText() === "const") return "literals";
  return type !== undefined && /^(readonly\b|Readonly)/.test(type.getText()) ? "everything" : "nothing";
}

/** Every place where the module keeps state that outlives a call, or runs code when it is loaded, as `file:line: what`. */
export function stateFaults(path: string, text: string): string[] {
  const file = parse(path, text);
  const faults: string[] = [];
  const literals = new Set<string>();
  const fault = (node: ts.Node, what: string): void => void faults.push(`${path}:${lineOf(node)}: ${what}`);

  /** Looks at what is computed when the module loads: not inside functions and classes. */
  const visitValue = (node: ts.Node, closed: Closed): void => {
    if (ts.isFunctionLike(node) || ts.isClassLike(node) || ts.isTypeNode(node)) return;
    let within = closed;
    if (ts.isNewExpression(node)) {
      const made = node.expression.getText();
      if (!stateless.has(made) && !(closed === "everything" && containers.has(made))) fault(node, `keeps a new ${made}`);
    } else if (ts.isCallExpression(node)) {
      const callee = node.expression.getText();
      if (pureCalls.test(callee)) within = "literals";
      else fault(node, `calls ${callee} when loaded`);
    } else if (ts.isAwaitExpression(node)) {
      fault(node, "awaits when loaded");
    } else if (closed === "nothing") {
      if (ts.isArrayLiteralExpression(node) && node.elements.length === 0) fault(node, "keeps an empty array");
      if (ts.isObjectLiteralExpression(node) && node.properties.length === 0) fault(node, "keeps an empty object");
    }
    ts.forEachChild(node, (child) => visitValue(child, within));
  };
  const visitConstant = (name: ts.Node, type: ts.TypeNode | undefined, value: ts.Expression | undefined): void => {
    if (value === undefined) return;
    if (ts.isArrayLiteralExpression(value) || ts.isObjectLiteralExpression(value)) literals.add(name.getText());
    visitValue(value, closedBy(type, value));
  };

  for (const statement of file.statements) {
    if (ts.isVariableStatement(statement)) {
      const changes = (statement.declarationList.flags & ts.NodeFlags.Const) === 0;
      for (const declaration of statement.declarationList.declarations) {
        if (changes) fault(declaration, `${declaration.name.getText()} can be assigned again`);
        else visitConstant(declaration.name, declaration.type, declaration.initializer);
      }
    } else if (ts.isClassDeclaration(statement)) {
      for (const member of statement.members) {
        if (ts.isClassStaticBlockDeclaration(member)) fault(member, "runs code when loaded");
        if (!ts.isPropertyDeclaration(member) || !ts.canHaveModifiers(member)) continue;
        const kinds = new Set(ts.getModifiers(member)?.map((modifier) => modifier.kind));
        if (!kinds.has(ts.SyntaxKind.StaticKeyword)) continue;
        if (!kinds.has(ts.SyntaxKind.ReadonlyKeyword)) fault(member, `${member.name.getText()} can be assigned again`);
        else visitConstant(member.name, member.type, member.initializer);
      }
    } else if (!isDeclaration(statement)) fault(statement, "runs code when loaded");
  }

  /** The name a chain of properties starts from: `a` in `a.b[1]`. */
  const base = (node: ts.Node): string => {
    while (ts.isPropertyAccessExpression(node) || ts.isElementAccessExpression(node)) node = node.expression;
    return node.getText();
  };
  const visitChange = (node: ts.Node): void => {
    const changed = ts.isBinaryExpression(node) && isAssignment(node.operatorToken.kind)
      ? node.left
      : ts.isDeleteExpression(node)
      ? node.expression
      : ts.isPrefixUnaryExpression(node) || ts.isPostfixUnaryExpression(node)
      ? (node.operator === ts.SyntaxKind.PlusPlusToken || node.operator === ts.SyntaxKind.MinusMinusToken
        ? node.operand
        : undefined)
      : ts.isCallExpression(node) && ts.isPropertyAccessExpression(node.expression) && mutators.has(node.expression.name.text)
      ? node.expression.expression
      : undefined;
    if (changed !== undefined && literals.has(base(changed))) fault(node, `changes ${base(changed)}`);
    ts.forEachChild(node, visitChange);
  };
  visitChange(file);
  return faults;
}

/** Statements that only name things. `export default` is not one: exports have names. */
function isDeclaration(statement: ts.Statement): boolean {
  return ts.isImportDeclaration(statement) || ts.isExportDeclaration(statement) || ts.isFunctionDeclaration(statement) ||
    ts.isInterfaceDeclaration(statement) || ts.isTypeAliasDeclaration(statement);
}

function isAssignment(kind: ts.SyntaxKind): boolean {
  return kind >= ts.SyntaxKind.FirstAssignment && kind <= ts.SyntaxKind.LastAssignment;
}
