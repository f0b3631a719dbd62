//! What can be wrong with data, labels and preprocess files.
//!
//! [`DataError`] says where (which file, which image), its `source` says what and how to help.
//! Messages name positions and shapes, never a pixel or a value: images are the client's secret.

use std::io;
use std::path::PathBuf;

use trefoil_ir::text::printable;

use super::shape::ImageShape;

/// Where reading images or labels, or writing logits, failed.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file or folder could not be opened or read.
    #[error("cannot read `{}`; check that it exists and that you may read it", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A result could not be written.
    #[error("cannot write `{}`; check that its folder exists, is writable and has space", path.display())]
    Write {
        /// The file to be written.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Results do not fit on the disk.
    #[error(
        "the results take {needed} bytes in `{}`, and its file system has room for {free}: make room, or write \
         them to another one",
        path.display()
    )]
    NoRoom {
        /// The file to be written.
        path: PathBuf,
        /// Bytes of all results.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// The results of an interrupted run would be lost.
    #[error(
        "`{}` holds {rows} result{} of a run that was interrupted: give --resume to go on behind them, or \
         remove the file",
        path.display(),
        if *rows == 1 { "" } else { "s" }
    )]
    Unfinished {
        /// The partial file.
        path: PathBuf,
        /// Results in it.
        rows: usize,
    },
    /// The partial file of other results, or none at all.
    #[error("`{}` is not what an interrupted run over these images left: remove it, or name another file", path.display())]
    Foreign {
        /// The file that stands where the partial file would.
        path: PathBuf,
    },
    /// The partial file of another model, or of other images.
    #[error(
        "the results in `{}` are of another {what} than this run's: give the {what} that they are of, or remove \
         the file to begin anew",
        path.display()
    )]
    OfAnotherRun {
        /// The partial file.
        path: PathBuf,
        /// What differs.
        what: &'static str,
    },
    /// A partial file without its record.
    #[error(
        "of which plan and data the results in `{path}` are is not known, since `{path}.run` is not there: remove \
         the file to begin anew",
        path = path.display()
    )]
    OfUnknownRun {
        /// The partial file.
        path: PathBuf,
    },
    /// Another run writes the same results.
    #[error("`{}` is being written by another run: name another file", path.display())]
    InUse {
        /// The partial file.
        path: PathBuf,
    },
    /// A result that is of another kind than those of its file, or one too many.
    #[error(
        "the result of image {index} has the shape {found:?}, and `{}` takes {total} of the shape {shape:?} and of \
         one type: those before it are kept there",
        path.display()
    )]
    NoPlace {
        /// The partial file.
        path: PathBuf,
        /// The image's number, from 0.
        index: usize,
        /// Dimensions of its result.
        found: Vec<usize>,
        /// Dimensions of the results that the file takes.
        shape: Vec<usize>,
        /// How many results the file takes.
        total: usize,
    },
    /// Results are to replace something that is no file.
    #[error("`{}` is not a file, and results can replace a file only: name another one", path.display())]
    NotAFile {
        /// What is to be replaced.
        path: PathBuf,
    },
    /// A `.npy` file is malformed or holds an array of another kind.
    #[error("cannot use the array in `{}`", path.display())]
    Npy {
        /// The `.npy` file.
        path: PathBuf,
        /// What is wrong with it.
        source: NpyError,
    },
    /// A preprocess description is wrong.
    #[error("the preprocess description {origin} is not valid")]
    Preprocess {
        /// The file it came from, or "text".
        origin: String,
        /// What is wrong with it.
        source: PreprocessError,
    },
    /// A label file is wrong or does not fit the data.
    #[error("cannot use the labels in `{}`", path.display())]
    Labels {
        /// The label file.
        path: PathBuf,
        /// What is wrong with it.
        source: LabelsError,
    },
    /// One image cannot be used.
    #[error("cannot use {name}")]
    Image {
        /// The image: its file, or its number and the array's file.
        name: String,
        /// What is wrong with it.
        source: ImageProblem,
    },
    /// A file that is not data.
    #[error(
        "`{}` is neither a .npy file, a JPEG or PNG, nor a folder; give an array written with numpy.save (of a \
         .npz, save the array by itself), a picture, or the folder that holds the images",
        path.display()
    )]
    NotData {
        /// What was given as data.
        path: PathBuf,
    },
    /// Bytes need a preprocess description to become network inputs.
    #[error(
        "`{}` holds 8-bit images, which become network inputs only through a preprocess \
         description; give one with --preprocess P.toml (keys: scale, mean, std and, where the \
         size must change, shorter_side or longer_side, crop, canvas with fill)",
        path.display()
    )]
    PreprocessMissing {
        /// The array, picture or folder of 8-bit images.
        path: PathBuf,
    },
    /// A folder without any image.
    #[error(
        "the folder `{}` holds no image; put files ending in .jpg, .jpeg or .png straight into it \
         (subfolders are not searched unless a label file names their files)",
        path.display()
    )]
    EmptyFolder {
        /// The folder that was searched.
        path: PathBuf,
    },
    /// An index past the last image.
    #[error("there is no image {index}: the data holds {len}, counted from 0")]
    NoSuchImage {
        /// The index asked for.
        index: usize,
        /// How many images there are.
        len: usize,
    },
    /// Two images have outputs of different shapes or types.
    #[error(
        "the output of image {index} has the shape {found:?}, and the first one's is {shape:?}, or their types differ; \
         nothing was written"
    )]
    OutputShape {
        /// The first image that differs, from 0.
        index: usize,
        /// Dimensions of its output.
        found: Vec<usize>,
        /// Dimensions of the first image's output.
        shape: Vec<usize>,
    },
}

/// What is wrong with a `.npy` file.
#[derive(Debug, thiserror::Error)]
pub enum NpyError {
    /// Reading failed.
    #[error("reading it failed")]
    Io(#[from] io::Error),
    /// Not the format at all.
    #[error("it is not a .npy file; write one array with numpy.save (of a .npz, save the array by itself)")]
    NotNpy,
    /// A header that does not parse.
    #[error("its header is malformed ({0}); write it anew with numpy.save")]
    Header(&'static str),
    /// An element type that is not numbers, or of an unknown kind.
    #[error(
        "its elements have the type {0}, which is not supported; convert it, for instance with \
         array.astype(numpy.float32)"
    )]
    ElementType(String),
    /// The payload is shorter or longer than the header says.
    #[error(
        "its header announces {announced} bytes of elements but {found} follow; it was cut short \
         or several arrays were saved into one file: write it anew"
    )]
    Length {
        /// Bytes that shape and type ask for.
        announced: u64,
        /// Bytes in the file after the header.
        found: u64,
    },
    /// A shape too large to count.
    #[error("its shape is too large to be true; write it anew with numpy.save")]
    Overflow,
    /// A float array that is not NCHW.
    #[error(
        "its shape is {0:?}, but float images must be [N, C, H, W] or [C, H, W] with no size 0; \
         reshape or transpose it"
    )]
    NotNchw(Vec<usize>),
    /// A byte array that is not NHWC.
    #[error(
        "its shape is {0:?}, but uint8 images must be [N, H, W, C] or [H, W, C] with no size 0; \
         reshape or transpose it"
    )]
    NotNhwc(Vec<usize>),
    /// Byte images with another number of channels than the description.
    #[error(
        "its images have {found} channels (the last axis), but the preprocess description gives \
         mean and std for {expected}{}",
        if *channels_first { "; the array looks channels-first: use array.transpose(0, 2, 3, 1)" }
        else { "; give one number per channel, or convert the images" }
    )]
    Channels {
        /// The array's last axis.
        found: usize,
        /// Channels in the description.
        expected: usize,
        /// Whether axis 1 has the right size instead.
        channels_first: bool,
    },
}

/// What is wrong with a preprocess description.
#[derive(Debug, thiserror::Error)]
pub enum PreprocessError {
    /// It could not be read.
    #[error("it cannot be read; check that the file exists and is text")]
    Io(#[from] io::Error),
    /// Not TOML, or not the known keys.
    #[error(
        "the known keys are shorter_side, longer_side, crop, canvas, fill, scale, mean and std, of \
         which the last three are required"
    )]
    Toml(#[source] Box<toml::de::Error>),
    /// Lists of different or unsupported length.
    #[error("mean has {mean} numbers and std {std}; both need 3 (RGB), or both 1 (grey), one per channel")]
    ChannelCount {
        /// Length of `mean`.
        mean: usize,
        /// Length of `std`.
        std: usize,
    },
    /// A number that is infinite or not a number.
    #[error("{0} must be finite")]
    NotFinite(&'static str),
    /// A zero in `std`.
    #[error("std holds a 0, by which nothing can be divided; use 1 for \"leave as it is\"")]
    ZeroStd,
    /// Parameters whose results leave float32.
    #[error("scale, mean and std take some pixel value out of the range of float32; check their sizes")]
    Overflow,
    /// A side of zero or beyond reason.
    #[error("{key} is {value}, but must lie in 1 to {max}")]
    Side {
        /// The key in the description.
        key: &'static str,
        /// The number of pixels that it gives.
        value: u32,
        /// The largest that is accepted.
        max: u32,
    },
    /// Two contradicting resizes.
    #[error("shorter_side and longer_side exclude each other; remove one")]
    TwoResizes,
    /// `fill` without `canvas` or the reverse.
    #[error("canvas and fill belong together; add the missing one or remove the other")]
    CanvasWithoutFill,
    /// A fill that is no grey.
    #[error("fill is a grey between 0 and 255, as bytes are, before scale is applied")]
    Fill,
}

/// What is wrong with a label file.
#[derive(Debug, thiserror::Error)]
pub enum LabelsError {
    /// It could not be read.
    #[error("it cannot be read; check that the file exists and is text or a .npy file")]
    Io(#[from] io::Error),
    /// A `.npy` that is malformed.
    #[error("its array is not usable")]
    Npy(#[from] NpyError),
    /// Not integers.
    #[error("its elements are not integers; convert them with labels.astype(numpy.int64)")]
    NotInteger,
    /// Not one-dimensional.
    #[error("its shape is {0:?}, but labels are one class per image; use labels.reshape(-1)")]
    NotFlat(Vec<usize>),
    /// A class below -1 or beyond 64 bits.
    #[error("label {0} (counted from 0) is no class: classes are 0 and up, or -1 for \"none\"")]
    Class(usize),
    /// No line for the one picture.
    #[error("none of its lines \"file class\" names `{file}`, the picture: add one, or leave --labels out")]
    NotNamed {
        /// The picture's file name.
        file: String,
    },
    /// A line that is not `file class`.
    #[error("line {line} is not \"file class\" with a whole number of -1 or more as class")]
    Line {
        /// The line, counted from 1.
        line: usize,
    },
    /// A file that is not there.
    #[error(
        "line {line} names `{}`, which is not a file in the data folder; correct or remove the line",
        printable(file)
    )]
    MissingFile {
        /// The line, counted from 1.
        line: usize,
        /// The file as the line names it.
        file: String,
    },
    /// A name that leads out of the folder.
    #[error(
        "line {line} names `{}`, which lies outside the data folder; name files relative to it, without `..`",
        printable(file)
    )]
    OutsideFolder {
        /// The line, counted from 1.
        line: usize,
        /// The file as the line names it.
        file: String,
    },
    /// Text labels for an array.
    #[error(
        "its lines \"file class\" name the files of a folder, but the data is one array; give the \
         labels as .npy, one integer per image"
    )]
    FilesOfAnArray,
    /// Another number of labels than images.
    #[error("it holds {labels} labels for {images} images; give one label per image, in order")]
    Count {
        /// How many labels there are.
        labels: usize,
        /// How many images there are.
        images: usize,
    },
    /// No label at all.
    #[error("it holds no label; give one per image, or leave --labels out")]
    Empty,
}

/// What is wrong with one image.
#[derive(Debug, thiserror::Error)]
pub enum ImageProblem {
    /// The file could not be read.
    #[error("it cannot be read")]
    Io(#[from] io::Error),
    /// The array could not be read.
    #[error("its array cannot be read")]
    Npy(#[from] NpyError),
    /// Neither JPEG nor PNG by content.
    #[error("it is neither JPEG nor PNG, whatever its name says; convert it")]
    Format,
    /// A JPEG without an end.
    #[error("the JPEG ends before its picture does; it was cut short: copy it again")]
    Truncated,
    /// The decoder gave up.
    #[error(
        "it cannot be decoded; it is damaged or uses a feature that is not supported: save it again as PNG or baseline JPEG"
    )]
    Decode(#[source] Box<image::ImageError>),
    /// Larger than is decoded.
    #[error(
        "it is larger than the {max_side} x {max_side} pixels, {max_mib} MiB, that are decoded; scale it down"
    )]
    TooLarge {
        /// The largest side.
        max_side: u32,
        /// The largest memory.
        max_mib: u64,
    },
    /// Nothing in it.
    #[error("it has no pixels")]
    Empty,
    /// Resizing would make it huge.
    #[error(
        "resizing makes it {width} x {height} pixels, more than {max} a side or {max_pixels} in all; its aspect is too extreme for shorter_side: cut it first"
    )]
    Stretched {
        /// Width after resizing.
        width: u64,
        /// Height after resizing.
        height: u64,
        /// The largest side.
        max: u64,
        /// The largest number of pixels.
        max_pixels: u64,
    },
    /// Smaller than the crop.
    #[error(
        "it is {width} x {height} where the crop of {crop} is cut; set shorter_side to {crop} or more in the preprocess description"
    )]
    CropTooLarge {
        /// Width before the crop.
        width: usize,
        /// Height before the crop.
        height: usize,
        /// The crop's side.
        crop: usize,
    },
    /// Larger than the canvas.
    #[error(
        "it is {width} x {height} where it is placed on the canvas of {canvas}; set longer_side to {canvas} or less in the preprocess description"
    )]
    CanvasTooSmall {
        /// Width before placing.
        width: usize,
        /// Height before placing.
        height: usize,
        /// The canvas's side.
        canvas: usize,
    },
    /// Other channels than the description.
    #[error("it has {found} channels, the preprocess description {expected}")]
    Channels {
        /// The image's channels.
        found: usize,
        /// The description's channels.
        expected: usize,
    },
    /// A value that is no number.
    #[error(
        "channel {channel}, row {row}, column {column} is infinite or not a number (NaN); correct the data"
    )]
    NotFinite {
        /// The channel, counted from 0.
        channel: usize,
        /// The row, counted from 0.
        row: usize,
        /// The column, counted from 0.
        column: usize,
    },
    /// Not the network's input.
    #[error("its shape is {found}, but the network takes {expected}; {remedy}")]
    Shape {
        /// Shape of the image.
        found: ImageShape,
        /// The network's.
        expected: ImageShape,
        /// What to do.
        remedy: &'static str,
    },
}
