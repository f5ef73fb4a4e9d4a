//! A deserializer for TOML whose errors have a position in the text.
//!
//! The compiler instantiates the code that reads a struct once for every type through which a deserializer passes
//! fields. The deserializer of the package `toml` uses several types, which took half of this package's compile time.
//! This deserializer uses a single type.

use serde::de::value::{MapAccessDeserializer, MapDeserializer, SeqDeserializer, StrDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Error as _, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;
use std::fmt;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeArray, DeInteger, DeString, DeTable, DeValue};

/// Deserializes a TOML text.
pub(crate) fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, SpannedError> {
    let table = DeTable::parse(text)
        .map_err(|error| SpannedError { message: error.message().to_owned(), span: error.span() })?;
    let span = table.span();
    T::deserialize(SpannedValue { span, value: DeValue::Table(table.into_inner()) })
}

/// An error and its position in the text.
#[derive(Debug)]
pub(crate) struct SpannedError {
    pub message: String,
    pub span: Option<Range<usize>>,
}

impl SpannedError {
    /// Sets the position, unless a nested value has already set it.
    fn at(self, span: Range<usize>) -> Self {
        Self { span: self.span.or(Some(span)), ..self }
    }
}

impl fmt::Display for SpannedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SpannedError {}

impl serde::de::Error for SpannedError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { message: message.to_string(), span: None }
    }
}

/// A value and its position.
struct SpannedValue<'de> {
    span: Range<usize>,
    value: DeValue<'de>,
}

/// A key and its position.
struct SpannedKey<'de> {
    span: Range<usize>,
    name: DeString<'de>,
}

type SpannedEntries<'de> = MapDeserializer<'de, std::vec::IntoIter<(SpannedKey<'de>, SpannedValue<'de>)>, SpannedError>;

fn entries(table: DeTable<'_>) -> SpannedEntries<'_> {
    let mut entries = Vec::with_capacity(table.len());
    for (name, value) in table {
        entries.push((SpannedKey { span: name.span(), name: name.into_inner() }, SpannedValue::from(value)));
    }
    MapDeserializer::new(entries.into_iter())
}

fn items(values: DeArray<'_>) -> SeqDeserializer<std::vec::IntoIter<SpannedValue<'_>>, SpannedError> {
    SeqDeserializer::new(values.into_iter().map(SpannedValue::from).collect::<Vec<_>>().into_iter())
}

/// Describes a value for an error message.
fn unexpected<'a>(value: &'a DeValue<'_>) -> Unexpected<'a> {
    match value {
        DeValue::String(text) => Unexpected::Str(text),
        DeValue::Integer(_) => Unexpected::Other("an integer"),
        DeValue::Float(_) => Unexpected::Other("a floating-point number"),
        DeValue::Boolean(value) => Unexpected::Bool(*value),
        DeValue::Datetime(_) => Unexpected::Other("a date"),
        DeValue::Array(_) => Unexpected::Seq,
        DeValue::Table(_) => Unexpected::Map,
    }
}

fn integer<'de, V: Visitor<'de>>(number: &DeInteger<'_>, visitor: V) -> Result<V::Value, SpannedError> {
    if let Ok(number) = i64::from_str_radix(number.as_str(), number.radix()) {
        return visitor.visit_i64(number);
    }
    match u64::from_str_radix(number.as_str(), number.radix()) {
        Ok(number) => visitor.visit_u64(number),
        Err(_) => Err(SpannedError::custom("the number is out of range")),
    }
}

impl<'de> From<Spanned<DeValue<'de>>> for SpannedValue<'de> {
    fn from(value: Spanned<DeValue<'de>>) -> Self {
        Self { span: value.span(), value: value.into_inner() }
    }
}

impl<'de> IntoDeserializer<'de, SpannedError> for SpannedValue<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> IntoDeserializer<'de, SpannedError> for SpannedKey<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for SpannedKey<'de> {
    type Error = SpannedError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SpannedError> {
        visitor.visit_str(&self.name).map_err(|error: SpannedError| error.at(self.span))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> Deserializer<'de> for SpannedValue<'de> {
    type Error = SpannedError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SpannedError> {
        let read = match self.value {
            DeValue::String(text) => visitor.visit_str(&text),
            DeValue::Integer(number) => integer(&number, visitor),
            DeValue::Float(number) => match number.as_str().parse() {
                Ok(number) => visitor.visit_f64(number),
                Err(_) => Err(SpannedError::custom("not a number")),
            },
            DeValue::Boolean(value) => visitor.visit_bool(value),
            date @ DeValue::Datetime(_) => Err(SpannedError::invalid_type(unexpected(&date), &visitor)),
            DeValue::Array(values) => visitor.visit_seq(items(values)),
            DeValue::Table(table) => visitor.visit_map(entries(table)),
        };
        read.map_err(|error| error.at(self.span))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SpannedError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, SpannedError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, SpannedError> {
        let read = match self.value {
            DeValue::Table(table) => visitor.visit_map(entries(table)),
            other => Err(SpannedError::invalid_type(unexpected(&other), &visitor)),
        };
        read.map_err(|error| error.at(self.span))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, SpannedError> {
        let span = self.span.clone();
        let read = match self.value {
            DeValue::String(name) => visitor.visit_enum(StrDeserializer::new(&name)),
            DeValue::Table(table) if table.len() == 1 => visitor.visit_enum(MapAccessDeserializer::new(entries(table))),
            DeValue::Table(_) => Err(SpannedError::custom("expected exactly 1 element")),
            _ => self.deserialize_any(visitor),
        };
        read.map_err(|error| error.at(span))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::from_str;
    use serde::Deserialize;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default, deny_unknown_fields)]
    struct EveryType {
        text: String,
        numbers: Vec<u64>,
        real: f64,
        flag: Option<bool>,
        choice: Option<Choice>,
        nested: Vec<Nested>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "snake_case")]
    enum Choice {
        Plain,
        Pair(i32, i32),
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Nested {
        value: f64,
    }

    #[test]
    fn all_value_types_are_read() {
        let text = "text = 'a'\nnumbers = [1, 0xFF, 18446744073709551615]\nreal = -1.5e1\nflag = true\n\
                    choice = { pair = [1, -2] }\n[[nested]]\nvalue = 3\n[[nested]]\nvalue = inf";
        let nested = vec![Nested { value: 3.0 }, Nested { value: f64::INFINITY }];
        let (choice, numbers) = (Some(Choice::Pair(1, -2)), vec![1, 255, u64::MAX]);
        assert_eq!(
            from_str::<EveryType>(text).unwrap(),
            EveryType { text: "a".into(), numbers, real: -15.0, flag: Some(true), choice, nested }
        );
        assert_eq!(from_str::<EveryType>("choice = 'plain'").unwrap().choice, Some(Choice::Plain));
    }

    #[test]
    fn errors_have_innermost_position() {
        // Each text, a part of the error's message, and the text at its position.
        for (text, message, span) in [
            ("text = 'a'\ntxt = 1", "unknown field `txt`", "txt"),
            ("numbers = [1, -2]", "invalid value: integer `-2`, expected u64", "-2"),
            ("[[nested]]\nvalue = 'x'", "invalid type: string \"x\", expected f64", "'x'"),
            ("nested = [1]", "invalid type: an integer, expected struct Nested", "1"),
            ("text = 2020-01-01", "invalid type: a date", "2020-01-01"),
            ("[[nested]]", "missing field `value`", "[[nested]]"),
            ("choice = 'none'", "unknown variant `none`", "'none'"),
            ("choice = { plain = 1, pair = 2 }", "expected exactly 1 element", "{ plain = 1, pair = 2 }"),
            ("numbers = [99999999999999999999]", "the number is out of range", "99999999999999999999"),
        ] {
            let error = from_str::<EveryType>(text).unwrap_err();
            assert!(error.message.contains(message), "{text}: {}", error.message);
            assert_eq!(&text[error.span.unwrap()], span, "{text}");
        }
        assert!(from_str::<EveryType>("text =").unwrap_err().span.is_some());
    }
}
