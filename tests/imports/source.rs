//! A parser for the imports and paths in a source file.

use std::{collections::BTreeSet, str::FromStr};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The modules, imports, and paths of a file, without tests, attributes, and documentation.
#[derive(Default)]
pub(crate) struct Source {
    /// Modules declared with `mod name;`, which are in separate files.
    pub modules: Vec<String>,
    /// Modules declared with `#[cfg(test)] mod name;`.
    pub test_modules: Vec<String>,
    pub imports: Vec<Import>,
    /// Names of the items that the file defines.
    pub items: BTreeSet<String>,
    /// Paths with two or more segments that are not in imports.
    pub paths: Vec<Vec<String>>,
    /// The number of inline modules that contain the current position.
    depth: usize,
}

/// One name that a `use` declaration binds.
#[derive(Clone)]
pub(crate) struct Import {
    /// The full path, without the `*` of a glob import.
    pub path: Vec<String>,
    /// The name that the import binds, or `*` for a glob import.
    pub name: String,
    pub is_public: bool,
}

/// The keywords that are followed by the name of an item.
const ITEM_KEYWORDS: [&str; 9] = ["const", "enum", "fn", "macro_rules", "static", "struct", "trait", "type", "union"];

impl Source {
    /// Parses a file.
    ///
    /// # Panics
    /// Panics if the text is not Rust.
    pub(crate) fn parse(text: &str) -> Self {
        let mut source = Self::default();
        let stream = TokenStream::from_str(text).unwrap_or_else(|error| panic!("not Rust: {error}"));
        source.read(stream);
        source
    }

    fn read(&mut self, stream: TokenStream) {
        let tokens: Vec<TokenTree> = stream.into_iter().collect();
        let (mut at, mut is_test, mut is_public, mut is_elsewhere) = (0, false, false, false);
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Punct(mark) if mark.as_char() == '#' => {
                    let inner = usize::from(is_punct(tokens.get(at + 1), '!'));
                    let attribute = tokens.get(at + inner + 1).map(|group| group.to_string().replace(' ', ""));
                    let attribute = attribute.unwrap_or_default();
                    is_test |= is_cfg_test(&attribute);
                    is_elsewhere |= attribute.starts_with("[path=");
                    at += inner + 2;
                    continue;
                }
                _ if is_test => {
                    at = self.skip_item(&tokens, at);
                    is_test = false;
                    continue;
                }
                TokenTree::Ident(word) if *word == "pub" => {
                    is_public = true;
                    at += 1 + usize::from(is_group(tokens.get(at + 1), Delimiter::Parenthesis));
                    continue;
                }
                TokenTree::Ident(word) if *word == "mod" && is_punct(tokens.get(at + 2), ';') => {
                    if !is_elsewhere {
                        self.modules.push(tokens[at + 1].to_string());
                    }
                    at += 3;
                }
                TokenTree::Ident(word) if *word == "mod" && is_group(tokens.get(at + 2), Delimiter::Brace) => {
                    self.depth += 1;
                    self.read(tokens[at + 2].clone().into());
                    self.depth -= 1;
                    at += 3;
                }
                TokenTree::Ident(word) if *word == "use" => {
                    let end = (at..tokens.len()).find(|at| is_punct(tokens.get(*at), ';')).unwrap_or(tokens.len());
                    self.read_use(&tokens[at + 1..end], &[], is_public);
                    at = end + 1;
                }
                TokenTree::Ident(word) => {
                    if let Some(TokenTree::Ident(name)) = tokens.get(at + 1)
                        && self.depth == 0
                        && ITEM_KEYWORDS.contains(&word.to_string().as_str())
                    {
                        self.items.insert(name.to_string());
                    }
                    let (path, next) = read_path(&tokens, at);
                    if path.len() > 1 {
                        self.paths.push(self.as_in_file(path));
                    }
                    at = next;
                }
                TokenTree::Group(group) => {
                    self.read(group.stream());
                    at += 1;
                }
                _ => at += 1,
            }
            (is_public, is_elsewhere) = (false, false);
        }
    }

    /// Returns the position after the item that begins at `at`. An item ends with `;` or braces, a field or variant
    /// with a comma.
    fn skip_item(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        let is_word = |token: &TokenTree| matches!(token, TokenTree::Ident(word) if is_keyword(&word.to_string()));
        let is_item = tokens[at..].iter().find(|token| !is_visibility(token)).is_some_and(is_word);
        let is_end = |token: Option<&TokenTree>| {
            is_punct(token, ';') || is_group(token, Delimiter::Brace) || (!is_item && is_punct(token, ','))
        };
        let end = (at..tokens.len()).find(|at| is_end(tokens.get(*at))).unwrap_or(tokens.len());
        if let [.., TokenTree::Ident(word), TokenTree::Ident(name)] = &tokens[at..end]
            && *word == "mod"
        {
            self.test_modules.push(name.to_string());
        }
        end + 1
    }

    /// Reads the part of a `use` declaration that follows the path `before`.
    fn read_use(&mut self, tree: &[TokenTree], before: &[String], is_public: bool) {
        for branch in tree.split(|token| is_punct(Some(token), ',')) {
            let (mut path, end) = read_path(branch, 0);
            path.splice(0..0, before.iter().cloned());
            if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
                path.pop();
            }
            let name = match branch.get(end..).unwrap_or_default() {
                [] if end > 0 => path.last().cloned().unwrap_or_default(),
                [.., TokenTree::Ident(word), TokenTree::Ident(name)] if *word == "as" => name.to_string(),
                [.., TokenTree::Group(group)] => {
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    self.read_use(&inner, &path, is_public);
                    continue;
                }
                [.., last] if is_punct(Some(last), '*') => "*".to_owned(),
                _ => continue,
            };
            let path = self.as_in_file(path);
            if self.depth == 0 {
                self.imports.push(Import { path, name, is_public });
            } else {
                // An import in an inline module does not define a name in the file.
                self.paths.push(path);
            }
        }
    }

    /// Converts a path in an inline module to the equivalent path in the module of the file.
    fn as_in_file(&self, mut path: Vec<String>) -> Vec<String> {
        let inner = path.iter().take(self.depth).take_while(|segment| *segment == "super").count();
        if inner > 0 {
            path.splice(0..inner, ["self".to_owned()]);
        }
        path
    }
}

/// Returns `true` if this keyword begins an item or a statement.
fn is_keyword(word: &str) -> bool {
    ITEM_KEYWORDS.contains(&word) || ["async", "extern", "impl", "let", "mod", "unsafe", "use"].contains(&word)
}

/// Returns `true` for `pub` and for the parentheses after it.
fn is_visibility(token: &TokenTree) -> bool {
    is_group(Some(token), Delimiter::Parenthesis) || matches!(token, TokenTree::Ident(word) if *word == "pub")
}

/// Reads a path such as `a::b::c`. Returns its segments and the position after it, or the position of the last `::` if
/// a group or a glob follows.
fn read_path(tokens: &[TokenTree], mut at: usize) -> (Vec<String>, usize) {
    let mut path = Vec::new();
    while let Some(TokenTree::Ident(segment)) = tokens.get(at) {
        path.push(segment.to_string());
        at += 1;
        let has_separator = is_punct(tokens.get(at), ':') && is_punct(tokens.get(at + 1), ':');
        if !has_separator || !matches!(tokens.get(at + 2), Some(TokenTree::Ident(_))) {
            break;
        }
        at += 2;
    }
    (path, at)
}

fn is_punct(token: Option<&TokenTree>, mark: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == mark)
}

fn is_group(token: Option<&TokenTree>, delimiter: Delimiter) -> bool {
    matches!(token, Some(TokenTree::Group(group)) if group.delimiter() == delimiter)
}

/// Returns `true` if an attribute, written without spaces, is `[cfg(test)]`, alone or with further conditions.
fn is_cfg_test(attribute: &str) -> bool {
    attribute == "[cfg(test)]" || attribute.starts_with("[cfg(all(test,")
}
