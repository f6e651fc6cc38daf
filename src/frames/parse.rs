//! The text of an expression, as a tree.

use sqlparser::ast::Expr;
use sqlparser::dialect::GenericDialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, Word};

use crate::base::panics::catch;
use crate::frames::wrong::Wrong;

/// The largest number of characters of an expression.
const MAX_CHARS: usize = 20_000;

/// Words of SQL that are often names of columns.
const NAMES: [Keyword; 12] = [
    Keyword::USER,
    Keyword::SESSION_USER,
    Keyword::CURRENT_USER,
    Keyword::TIMESTAMP,
    Keyword::DATE,
    Keyword::TIME,
    Keyword::DATETIME,
    Keyword::INTERVAL,
    Keyword::VALUES,
    Keyword::END,
    Keyword::MAP,
    Keyword::ARRAY,
];

/// Parses an expression of one row. `is_column` tells the names of columns: they need no quotes, even
/// if SQL has a word of the same spelling.
///
/// # Errors
/// The text is not one expression.
pub(crate) fn parse(text: &str, is_column: &dyn Fn(&str) -> bool) -> Result<Expr, Wrong> {
    if text.trim().is_empty() {
        return Err(Wrong::new("expected an expression, found an empty text"));
    }
    let n_chars = text.chars().count();
    if n_chars > MAX_CHARS {
        return Err(Wrong::new(format!(
            "expected an expression of at most {MAX_CHARS} characters, found {n_chars}"
        )));
    }
    let parsed = catch(|| {
        let mut tokens = Tokenizer::new(&GenericDialect, text)
            .tokenize_with_location()
            .map_err(|error| error.to_string())?;
        quote_columns(&mut tokens, is_column);
        let mut parser = Parser::new(&GenericDialect).with_tokens_with_locations(tokens);
        let expr = parser.parse_expr().map_err(|error| error.to_string())?;
        match parser.peek_token().token {
            Token::EOF => Ok(expr),
            other => Err(format!("an expression, and then `{other}`")),
        }
    });
    parsed.and_then(|parsed| parsed).map_err(|found| {
        let found = found
            .trim_start_matches("sql parser error: ")
            .replace("Expected: ", "expected ");
        Wrong::new(format!("expected one SQL expression, found: {found}"))
    })
}

/// Quotes the names of columns that are words of SQL.
fn quote_columns(tokens: &mut [TokenWithSpan], is_column: &dyn Fn(&str) -> bool) {
    let mut depth = 0_u32;
    for idx in 0..tokens.len() {
        let next = tokens[idx + 1..]
            .iter()
            .map(|token| &token.token)
            .find(|token| !matches!(token, Token::Whitespace(_)))
            .cloned();
        let Token::Word(word) = &mut tokens[idx].token else {
            continue;
        };
        match word.keyword {
            Keyword::CASE if word.quote_style.is_none() => depth += 1,
            Keyword::END if depth > 0 => {
                depth -= 1;
                continue;
            }
            _ => {}
        }
        let is_call = matches!(
            next,
            Some(Token::LParen | Token::SingleQuotedString(_) | Token::LBracket)
        );
        if word.quote_style.is_none() && NAMES.contains(&word.keyword) && !is_call && is_column(&word.value) {
            *word = Word {
                value: word.value.clone(),
                quote_style: Some('"'),
                keyword: Keyword::NoKeyword,
            };
        }
    }
}
