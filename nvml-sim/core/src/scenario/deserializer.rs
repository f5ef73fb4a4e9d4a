//! A deserializer for TOML whose errors have a position in the text.
//!
//! For every way in which a deserializer can pass the fields of a struct, the compiler instantiates the code that reads
//! the struct. The deserializer of `toml` has several ways, which took half of this package's compile time; this one
//! has one.

use serde::de::value::{MapAccessDeserializer, MapDeserializer, SeqDeserializer, StrDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Error as _, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;
use std::fmt;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeArray, DeInteger, DeString, DeTable, DeValue};

/// Deserializes a TOML text.
pub(crate) fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    let table =
        DeTable::parse(text).map_err(|error| Error { message: error.message().to_owned(), place: error.span() })?;
    let place = table.span();
    T::deserialize(Value { place, value: DeValue::Table(table.into_inner()) })
}

/// An error and its position in the text.
#[derive(Debug)]
pub(crate) struct Error {
    pub message: String,
    pub place: Option<Range<usize>>,
}

impl Error {
    /// Sets the position, unless a value further inside has set it already.
    fn at(self, place: Range<usize>) -> Self {
        Self { place: self.place.or(Some(place)), ..self }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl serde::de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { message: message.to_string(), place: None }
    }
}

/// A value and its position.
struct Value<'de> {
    place: Range<usize>,
    value: DeValue<'de>,
}

/// A key and its position.
struct Key<'de> {
    place: Range<usize>,
    name: DeString<'de>,
}

type Entries<'de> = MapDeserializer<'de, std::vec::IntoIter<(Key<'de>, Value<'de>)>, Error>;

fn entries(table: DeTable<'_>) -> Entries<'_> {
    let mut entries = Vec::with_capacity(table.len());
    for (name, value) in table {
        entries.push((Key { place: name.span(), name: name.into_inner() }, Value::from(value)));
    }
    MapDeserializer::new(entries.into_iter())
}

fn items(values: DeArray<'_>) -> SeqDeserializer<std::vec::IntoIter<Value<'_>>, Error> {
    SeqDeserializer::new(values.into_iter().map(Value::from).collect::<Vec<_>>().into_iter())
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

fn integer<'de, V: Visitor<'de>>(number: &DeInteger<'_>, visitor: V) -> Result<V::Value, Error> {
    if let Ok(number) = i64::from_str_radix(number.as_str(), number.radix()) {
        return visitor.visit_i64(number);
    }
    match u64::from_str_radix(number.as_str(), number.radix()) {
        Ok(number) => visitor.visit_u64(number),
        Err(_) => Err(Error::custom("the number is too large")),
    }
}

impl<'de> From<Spanned<DeValue<'de>>> for Value<'de> {
    fn from(value: Spanned<DeValue<'de>>) -> Self {
        Self { place: value.span(), value: value.into_inner() }
    }
}

impl<'de> IntoDeserializer<'de, Error> for Value<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> IntoDeserializer<'de, Error> for Key<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Key<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(&self.name).map_err(|error: Error| error.at(self.place))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> Deserializer<'de> for Value<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let read = match self.value {
            DeValue::String(text) => visitor.visit_str(&text),
            DeValue::Integer(number) => integer(&number, visitor),
            DeValue::Float(number) => match number.as_str().parse() {
                Ok(number) => visitor.visit_f64(number),
                Err(_) => Err(Error::custom("not a number")),
            },
            DeValue::Boolean(value) => visitor.visit_bool(value),
            date @ DeValue::Datetime(_) => Err(Error::invalid_type(unexpected(&date), &visitor)),
            DeValue::Array(values) => visitor.visit_seq(items(values)),
            DeValue::Table(table) => visitor.visit_map(entries(table)),
        };
        read.map_err(|error| error.at(self.place))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let read = match self.value {
            DeValue::Table(table) => visitor.visit_map(entries(table)),
            other => Err(Error::invalid_type(unexpected(&other), &visitor)),
        };
        read.map_err(|error| error.at(self.place))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let place = self.place.clone();
        let read = match self.value {
            DeValue::String(name) => visitor.visit_enum(StrDeserializer::new(&name)),
            DeValue::Table(table) if table.len() == 1 => visitor.visit_enum(MapAccessDeserializer::new(entries(table))),
            DeValue::Table(_) => Err(Error::custom("expected exactly 1 element")),
            _ => self.deserialize_any(visitor),
        };
        read.map_err(|error| error.at(place))
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
    struct All {
        text: String,
        numbers: Vec<u64>,
        real: f64,
        flag: Option<bool>,
        choice: Option<Choice>,
        part: Vec<Part>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "snake_case")]
    enum Choice {
        Plain,
        Pair(i32, i32),
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Part {
        value: f64,
    }

    #[test]
    fn every_type_of_value_is_read() {
        let text = "text = 'a'\nnumbers = [1, 0xFF, 18446744073709551615]\nreal = -1.5e1\nflag = true\n\
                    choice = { pair = [1, -2] }\n[[part]]\nvalue = 3\n[[part]]\nvalue = inf";
        let part = vec![Part { value: 3.0 }, Part { value: f64::INFINITY }];
        let (choice, numbers) = (Some(Choice::Pair(1, -2)), vec![1, 255, u64::MAX]);
        assert_eq!(
            from_str::<All>(text).unwrap(),
            All { text: "a".into(), numbers, real: -15.0, flag: Some(true), choice, part }
        );
        assert_eq!(from_str::<All>("choice = 'plain'").unwrap().choice, Some(Choice::Plain));
    }

    #[test]
    fn errors_have_the_place_of_the_innermost_value() {
        for (text, message, place) in [
            ("text = 'a'\ntxt = 1", "unknown field `txt`", "txt"),
            ("numbers = [1, -2]", "invalid value: integer `-2`, expected u64", "-2"),
            ("[[part]]\nvalue = 'x'", "invalid type: string \"x\", expected f64", "'x'"),
            ("part = [1]", "invalid type: an integer, expected struct Part", "1"),
            ("text = 2020-01-01", "invalid type: a date", "2020-01-01"),
            ("[[part]]", "missing field `value`", "[[part]]"),
            ("choice = 'none'", "unknown variant `none`", "'none'"),
            ("choice = { plain = 1, pair = 2 }", "expected exactly 1 element", "{ plain = 1, pair = 2 }"),
            ("numbers = [99999999999999999999]", "the number is too large", "99999999999999999999"),
        ] {
            let error = from_str::<All>(text).unwrap_err();
            assert!(error.message.contains(message), "{text}: {}", error.message);
            assert_eq!(&text[error.place.unwrap()], place, "{text}");
        }
        assert!(from_str::<All>("text =").unwrap_err().place.is_some());
    }
}
