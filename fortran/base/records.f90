!> Fortran sequential unformatted records, read from memory: the second place that knows them (the first is
!> formats/records.py); one table of good and bad files tests both.
!>
!> A record is its payload between two int32 byte counts.  A longer one than 2 GiB is split: a negative count in front
!> says "continued in the next one", a negative count behind says "continues the previous one".
module tf_records
   use, intrinsic :: ieee_arithmetic, only : ieee_is_finite
   use tf_kinds, only : wp, i8
   use tf_error, only : error_type, raise, error_file
   implicit none
   private
   public :: record_reader_type, open_records, quoted, number

   !> The bytes of a file, and how far they have been read
   type :: record_reader_type
      private
      character(len=:), allocatable :: path, bytes
      !> Byte offset of the next record
      integer(i8), public :: position = 0
   contains
      procedure :: fail
      procedure :: payload
      procedure :: integers
      procedure :: integer_between
      procedure :: reals
      procedure :: text
      procedure :: end
   end type record_reader_type

contains

   !> Read a whole file into memory
   subroutine open_records(path, reader, error)
      !> Name of the file
      character(len=*), intent(in) :: path
      type(record_reader_type), intent(out) :: reader
      type(error_type), allocatable, intent(inout) :: error
      character(len=200) :: reason
      integer(i8) :: n_bytes
      integer :: unit, status

      reader%path = path
      open (newunit=unit, file=path, access="stream", form="unformatted", status="old", action="read", iostat=status, &
         iomsg=reason)
      if (status == 0) then
         inquire (unit=unit, size=n_bytes)
         allocate (character(len=max(n_bytes, 0_i8)) :: reader%bytes, stat=status)
         if (status /= 0) then
            reason = "it does not fit into memory"
         else if (n_bytes > 0) then
            read (unit, iostat=status, iomsg=reason) reader%bytes
         end if
         close (unit)
      end if
      if (status /= 0) call raise(error, error_file, path//": cannot be read: "//trim(reason))
   end subroutine open_records

   !> Set the error for `what`, with what was found and expected, if that is known
   subroutine fail(reader, what, at, error, found, expected)
      class(record_reader_type), intent(in) :: reader
      !> What was being read, in words, here and below
      character(len=*), intent(in) :: what
      !> Byte offset of the record it is about
      integer(i8), intent(in) :: at
      type(error_type), allocatable, intent(inout) :: error
      character(len=*), intent(in), optional :: found, expected
      character(len=:), allocatable :: message

      message = reader%path//": "//what//" (at byte "//number(at)//")"
      if (present(found)) message = message//": found "//found
      if (present(expected)) message = message//", expected "//expected
      call raise(error, error_file, message)
   end subroutine fail

   !> The payload of the next record; empty after an error
   function payload(reader, what, n_bytes, error) result(bytes)
      class(record_reader_type), intent(inout) :: reader
      character(len=*), intent(in) :: what
      !> Length that the payload must have
      integer(i8), intent(in) :: n_bytes
      type(error_type), allocatable, intent(inout) :: error
      character(len=:), allocatable :: bytes
      integer(i8) :: start, at, length, head, tail
      logical :: continued

      bytes = ""
      if (allocated(error)) return
      start = reader%position
      continued = .false.
      do
         at = reader%position
         head = marker(reader, what, error)
         if (allocated(error)) return
         length = abs(head)
         if (.not. continued .and. head /= n_bytes .and. (head >= 0 .or. length > n_bytes)) then
            call wrong_length(reader, what, at, head, n_bytes, error)
         else if (length + 4 > remaining(reader)) then
            call reader%fail("file ends inside "//what, at, error, quoted(number(remaining(reader))//" bytes"), &
               number(length)//" bytes and a byte count")
         end if
         if (allocated(error)) exit

         bytes = bytes//reader%bytes(reader%position + 1:reader%position + length)
         reader%position = reader%position + length
         tail = marker(reader, what, error)
         if (allocated(error)) exit
         if (tail /= merge(-length, length, continued)) then
            call reader%fail("byte counts around "//what//" disagree", at, error, &
               quoted(number(head)//" and "//number(tail)))
            exit
         end if
         if (head >= 0) exit
         continued = .true.
      end do

      if (.not. allocated(error) .and. len(bytes, i8) /= n_bytes) then
        call wrong_length(reader, what, start, len(bytes, i8), n_bytes, error)
      end if
      if (allocated(error)) bytes = ""
   end function payload

   !> A record of `count` integers; zeros after an error
   function integers(reader, what, count, error) result(values)
      class(record_reader_type), intent(inout) :: reader
      character(len=*), intent(in) :: what
      integer, intent(in) :: count
      type(error_type), allocatable, intent(inout) :: error
      integer, allocatable :: values(:)
      character(len=:), allocatable :: bytes

      bytes = reader%payload(what, 4_i8*count, error)
      if (allocated(error)) then
         allocate (values(0))
      else
         values = transfer(bytes, 0, count)
      end if
   end function integers

   !> A record of one integer within bounds; the lower bound after an error
   integer function integer_between(reader, what, low, error, high) result(value)
      class(record_reader_type), intent(inout) :: reader
      !> What is read, and the bounds of its value
      character(len=*), intent(in) :: what
      integer, intent(in) :: low
      type(error_type), allocatable, intent(inout) :: error
      integer, intent(in), optional :: high
      integer, allocatable :: values(:)
      integer(i8) :: at

      at = reader%position
      values = reader%integers(what, 1, error)
      value = low
      if (allocated(error)) return
      if (values(1) < low) then
         call reader%fail(what, at, error, number(int(values(1), i8)), "at least "//number(int(low, i8)))
         return
      end if
      if (present(high)) then
         if (values(1) > high) then
            call reader%fail(what, at, error, number(int(values(1), i8)), "at most "//number(int(high, i8)))
            return
         end if
      end if
      value = values(1)
   end function integer_between

   !> A record of `count` reals; none after an error
   function reals(reader, what, count, error, finite) result(values)
      class(record_reader_type), intent(inout) :: reader
      character(len=*), intent(in) :: what
      integer, intent(in) :: count
      type(error_type), allocatable, intent(inout) :: error
      !> Refuse infinity and NaN; by default yes
      logical, intent(in), optional :: finite
      real(wp), allocatable :: values(:)
      character(len=:), allocatable :: bytes
      integer(i8) :: at
      integer :: k

      at = reader%position
      bytes = reader%payload(what, 8_i8*count, error)
      if (allocated(error)) then
         allocate (values(0))
         return
      end if
      values = transfer(bytes, 0.0_wp, count)
      if (present(finite)) then
         if (.not. finite) return
      end if
      do k = 1, count
         if (ieee_is_finite(values(k))) cycle
         call reader%fail(what//", value "//number(int(k, i8)), at, error, trim(merge(merge("inf ", "-inf", values(k) > 0.0_wp), &
            "nan ", abs(values(k)) > huge(1.0_wp))), "a finite number")
         return
      end do
   end function reals

   !> A record of `count` characters
   function text(reader, what, count, error) result(value)
      class(record_reader_type), intent(inout) :: reader
      character(len=*), intent(in) :: what
      integer, intent(in) :: count
      type(error_type), allocatable, intent(inout) :: error
      character(len=:), allocatable :: value

      value = reader%payload(what, int(count, i8), error)
   end function text

   !> Check that nothing is left
   subroutine end(reader, error)
      class(record_reader_type), intent(in) :: reader
      type(error_type), allocatable, intent(inout) :: error

      if (remaining(reader) > 0) call reader%fail("more data than expected", reader%position, error, &
         quoted(number(remaining(reader))//" bytes"), "end of file")
   end subroutine end

   !> Bytes not yet read
   pure integer(i8) function remaining(reader)
      class(record_reader_type), intent(in) :: reader

      remaining = len(reader%bytes, i8) - reader%position
   end function remaining

   !> The next byte count
   integer(i8) function marker(reader, what, error)
      class(record_reader_type), intent(inout) :: reader
      character(len=*), intent(in) :: what
      type(error_type), allocatable, intent(inout) :: error

      marker = 0
      if (remaining(reader) < 4) then
         call reader%fail(merge("file ends before ", "file ends inside ", remaining(reader) <= 0)//what, &
            reader%position, error, quoted(number(max(remaining(reader), 0_i8))//" bytes"), "a record")
         return
      end if
      marker = transfer(reader%bytes(reader%position + 1:reader%position + 4), 0)
      reader%position = reader%position + 4
   end function marker

   !> Say that a record is too long or too short, and whether its bytes are in the wrong order
   subroutine wrong_length(reader, what, at, found, expected, error)
      class(record_reader_type), intent(in) :: reader
      !> What was being read; byte offset of the record, its length and the one it should have
      character(len=*), intent(in) :: what
      integer(i8), intent(in) :: at, found, expected
      type(error_type), allocatable, intent(inout) :: error
      character(len=:), allocatable :: hint
      character(len=4) :: bytes

      hint = ""
      bytes = transfer(int(found), bytes)
      bytes = bytes(4:4)//bytes(3:3)//bytes(2:2)//bytes(1:1)
      if (transfer(bytes, 0) == expected .and. found /= expected) hint = " (the file appears to be big-endian)"
      call reader%fail("wrong record length of "//what, at, error, quoted(number(found)//" bytes"), &
         number(expected)//" bytes"//hint)
   end subroutine wrong_length

   !> An integer as text without blanks
   pure function number(value) result(text)
      integer(i8), intent(in) :: value
      character(len=:), allocatable :: text
      character(len=24) :: buffer

      write (buffer, "(i0)") value
      text = trim(buffer)
   end function number

   !> Text from a file between quotes, others than printable ASCII as their codes
   pure function quoted(value) result(text)
      character(len=*), intent(in) :: value
      character(len=:), allocatable :: text
      character(len=2) :: code
      integer :: k

      text = "'"
      do k = 1, len_trim(value)
         if (iachar(value(k:k)) >= 32 .and. iachar(value(k:k)) < 127) then
            text = text//value(k:k)
         else
            write (code, "(z2.2)") iachar(value(k:k))
            text = text//"\x"//code
         end if
      end do
      text = text//"'"
   end function quoted

end module tf_records
