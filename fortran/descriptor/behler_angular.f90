!> Sums of angular symmetry functions over the triples of an atom, and their derivatives: triples are gathered row by row
!> into blocks for tf_behler_triples.
module tf_behler_angular
   use tf_kinds, only : wp, lanes, padded, i8
   use tf_vector_math, only : exponentials, whole_powers
   use tf_behler_tables, only : angular_type
   use tf_behler_shells, only : shells_type, new_shells, room, col_x, col_y, col_z, col_square, col_inverse, col_f, n_columns
   use tf_behler_triples, only : triples_type, triples_work_type, new_triples, new_triples_work, capacity, block_triples, &
      finish_triples, triple_values, prepare_gradient, triple_gradient
   use tf_error, only : error_type, check_memory
   implicit none
   private
   public :: behler_work_type, new_behler_work, behler_scratch_type, new_behler_scratch, angular_sums, angular_slopes

   !> What the values of one atom leave behind for its gradient
   type :: behler_work_type
      integer :: n_most = 0, n_exponents = 0
      type(shells_type) :: shells
      !> (n_most, n_radial, groups) exponentials of the radial functions
      real(wp), allocatable :: e(:, :, :)
      !> Triples of the angular groups, block by block; those of group i start behind block before(i).  Of an atom with
      !> very many of them the last ones are not kept, but made again
      integer :: n_kept = 0
      integer, allocatable :: before(:)
      type(triples_type), allocatable :: kept(:)
   end type behler_work_type

   !> Scratch for one thread
   type :: behler_scratch_type
      !> (4, n_most, n_shells) vectors once more, interleaved
      real(wp), allocatable :: vector(:, :, :)
      !> (8, n_most, n_shells, n_sets) for each set of factors: sums of E, C cos θ and B of tf_behler_triples
      !> over the triples of a neighbour (1 … 3); sum of what is along the other neighbours (5 … 7)
      real(wp), allocatable :: sums(:, :, :, :)
      !> (n_most, n_exponents) exponentials of both shells, for G5
      real(wp), allocatable :: e(:, :), e_other(:, :)
      !> (n_most, 4)
      real(wp), allocatable :: extra(:, :)
      !> Of a row of triples r_j·r_k and r_jk² less that of the cutoff; of those of a block s and r_jk², Å²
      real(wp), allocatable :: row(:, :), block(:, :)
      !> Triples that are not kept
      type(triples_type) :: triples
      type(triples_work_type) :: triples_work
   end type behler_scratch_type

   !> Blocks of triples kept for the gradient of an atom: about 1 MB at most
   integer, parameter :: most_kept = 16

contains

   !> Room for what the values of one atom leave behind; the sizes are those of `new_behler_scratch`
   subroutine new_behler_work(n_most, n_shells, n_radial, n_groups, n_exponents, work, error)
      !> Largest numbers of neighbours, and for one species of shells, of functions in a radial group, of groups of either kind,
      !> and of η in an angular one
      integer, intent(in) :: n_most, n_shells, n_radial, n_groups, n_exponents
      type(behler_work_type), intent(out) :: work
      type(error_type), allocatable, intent(inout) :: error
      integer :: n, status

      n = room(n_most)
      work%n_most = n_most
      work%n_exponents = n_exponents
      call new_shells(n_most, n_shells, work%shells, error)
      if (allocated(error)) return
      allocate (work%e(n, n_radial, n_groups), work%before(n_groups), work%kept(most_kept), stat=status)
      call check_memory(status, "the scratch of descriptors", 8_i8*n*n_radial*n_groups + &
         storage_size(work%kept, i8)/8*most_kept, error)
   end subroutine new_behler_work

   !> Scratch for up to n_most neighbours in n_shells shells, and groups of up to n_exponents η and n_powers (λ, ζ)
   subroutine new_behler_scratch(n_most, n_shells, n_exponents, n_powers, scratch, error)
      !> Largest numbers of neighbours, shells, and of what a group of functions has
      integer, intent(in) :: n_most, n_shells, n_exponents, n_powers
      type(behler_scratch_type), intent(out) :: scratch
      type(error_type), allocatable, intent(inout) :: error
      integer :: n, m, status

      n = room(n_most)
      m = capacity(n_most)
      allocate (scratch%vector(4, n, n_shells), scratch%sums(8, n, n_shells, 1), &
         scratch%e(n, n_exponents), scratch%e_other(n, n_exponents), scratch%extra(n, 4), scratch%row(n, 2), &
         scratch%block(m, 2), stat=status)
      if (status == 0) call new_triples(n_most, n_exponents, scratch%triples, status)
      call check_memory(status, "the scratch of descriptors", 8_i8*n*(12*n_shells + 2*n_exponents + 6) &
         + 8_i8*m*(7 + n_exponents), error)
      if (.not. allocated(error)) call new_triples_work(n_most, n_powers, scratch%triples_work, error)
   end subroutine new_behler_scratch

   !> Shells of j (the smaller one) and k, and their sizes; one and the same shell: each pair once
   pure subroutine choose_rows(angular, shells, s_j, s_k, same)
      type(angular_type), intent(in) :: angular
      type(shells_type), intent(in) :: shells
      !> Shells of the two neighbours of a triple; are they the same?
      integer, intent(out) :: s_j, s_k
      logical, intent(out) :: same

      s_j = angular%shell(1)
      s_k = angular%shell(2)
      same = s_j == s_k
      if (shells%n(s_j) <= shells%n(s_k)) return
      s_j = angular%shell(2)
      s_k = angular%shell(1)
   end subroutine choose_rows

   !> Add the values of angular group i; its triples are kept if the gradient will be asked for
   subroutine angular_sums(angular, i, with_slopes, work, scratch, values)
      type(angular_type), intent(in) :: angular
      integer, intent(in) :: i
      logical, intent(in) :: with_slopes
      !> Its shells are filled
      type(behler_work_type), intent(inout) :: work
      type(behler_scratch_type), intent(inout) :: scratch
      !> (n_feature)
      real(wp), intent(inout) :: values(:)
      integer :: s_j, s_k, j, b
      logical :: same

      work%before(i) = work%n_kept
      call choose_rows(angular, work%shells, s_j, s_k, same)
      if (work%shells%n(s_j) == 0) return
      if (.not. angular%third_side) call pair_exponentials(angular, s_j, s_k, work%shells, scratch)
      j = 1
      do while (j <= work%shells%n(s_j))
         if (with_slopes .and. room_for_block(work)) then
            work%n_kept = work%n_kept + 1
            b = work%n_kept
            call make_block(angular, s_j, s_k, same, j, .true., work%shells, scratch, work%kept(b))
            call triple_values(angular, work%kept(b), scratch%triples_work, values)
            j = work%kept(b)%next
         else
            call make_block(angular, s_j, s_k, same, j, .false., work%shells, scratch, scratch%triples)
            call triple_values(angular, scratch%triples, scratch%triples_work, values)
            j = scratch%triples%next
         end if
      end do
   end subroutine angular_sums

   !> Can one more block be kept?
   logical function room_for_block(work)
      type(behler_work_type), intent(inout) :: work
      integer :: status

      status = merge(0, 1, work%n_kept < size(work%kept))
      if (status == 0) then
         associate (block => work%kept(work%n_kept + 1))
            if (.not. allocated(block%k)) call new_triples(work%n_most, work%n_exponents, block, status)
         end associate
      end if
      room_for_block = status == 0
   end function room_for_block

   !> Add the slopes of angular group i; `angular_sums` with slopes comes first, and leaves the same blocks
   subroutine angular_slopes(angular, i, n_sets, g, work, scratch)
      type(angular_type), intent(in) :: angular
      integer, intent(in) :: i, n_sets
      !> (n_feature, n_sets) factors of each value
      real(wp), intent(in) :: g(:, :)
      type(behler_work_type), intent(in) :: work
      type(behler_scratch_type), intent(inout) :: scratch
      integer :: s_j, s_k, j, b
      logical :: same

      call choose_rows(angular, work%shells, s_j, s_k, same)
      if (work%shells%n(s_j) == 0) return
      if (.not. angular%third_side) call pair_exponentials(angular, s_j, s_k, work%shells, scratch)
      b = work%before(i)
      j = 1
      do while (j <= work%shells%n(s_j))
         b = b + 1
         if (b <= work%n_kept) then
            call give_slopes(work%kept(b))
            j = work%kept(b)%next
         else
            call make_block(angular, s_j, s_k, same, j, .true., work%shells, scratch, scratch%triples)
            call give_slopes(scratch%triples)
            j = scratch%triples%next
         end if
      end do

   contains

      subroutine give_slopes(triples)
         type(triples_type), intent(in) :: triples
         integer :: set

         call prepare_gradient(angular, triples, scratch%triples_work)
         do set = 1, n_sets
            if (all(abs(g(angular%feature, set)) <= 0.0_wp)) cycle
            call triple_gradient(angular, g(:, set), triples, scratch%triples_work)
            call spread_rows(s_j, s_k, size(scratch%vector, 2), size(scratch%vector, 3), triples, &
               scratch%triples_work%slope, scratch%vector, scratch%sums(:, :, :, set))
         end do
      end subroutine give_slopes

   end subroutine angular_slopes

   !> Give the slopes of a block to the neighbours
   subroutine spread_rows(s_j, s_k, n_most, n_shells, triples, slope, vector, sums)
      !> As from `choose_rows`; room for neighbours and shells
      integer, intent(in) :: s_j, s_k, n_most, n_shells
      type(triples_type), intent(in) :: triples
      !> As in triples_work_type
      real(wp), intent(in) :: slope(4, triples%n)
      !> As in behler_scratch_type
      real(wp), intent(in) :: vector(4, n_most, n_shells)
      real(wp), intent(inout) :: sums(8, n_most, n_shells)
      real(wp) :: sums_j(8)
      integer :: row, a, n, j

      do row = 1, triples%n_rows
         a = triples%start(row) + 1
         n = triples%start(row + 1) - triples%start(row)
         j = triples%j(row)
         call spread_row(n, n_most, triples%k(a), slope(1, a), vector(1, j, s_j), vector(1, 1, s_k), sums(1, 1, s_k), &
            sums_j)
         sums(:, j, s_j) = sums(:, j, s_j) + sums_j
      end do
   end subroutine spread_rows

   !> Give the slopes of one row of triples to the neighbours k, and sum them up for j
   pure subroutine spread_row(n, n_most, k, slope, here, vector, sums, sums_j)
      !> Triples of the row, room for neighbours; second neighbour of each, and its slopes
      integer, intent(in) :: n, n_most
      integer(i8), intent(in) :: k(n)
      real(wp), intent(in) :: slope(4, n)
      !> Vector to j
      real(wp), intent(in) :: here(4)
      real(wp), intent(in) :: vector(4, n_most)
      real(wp), intent(inout) :: sums(8, n_most)
      real(wp), intent(out) :: sums_j(8)
      real(wp) :: total(4), own(4), along
      integer(i8) :: l
      integer :: i, c

      total = 0.0_wp
      own = 0.0_wp
      do i = 1, n
         l = k(i)
         along = slope(4, i)
         !$omp simd
         do c = 1, 4
            total(c) = total(c) + slope(c, i)
            sums(c, l) = sums(c, l) + slope(c, i)
            own(c) = own(c) + along*vector(c, l)
            sums(4 + c, l) = sums(4 + c, l) + along*here(c)
         end do
      end do
      sums_j(:4) = total
      sums_j(5:) = own
   end subroutine spread_row

   !> exp(-η r²) of both shells: G5's exponentials are their products
   subroutine pair_exponentials(angular, s_j, s_k, shells, scratch)
      type(angular_type), intent(in) :: angular
      !> As from `choose_rows`
      integer, intent(in) :: s_j, s_k
      type(shells_type), intent(in) :: shells
      type(behler_scratch_type), intent(inout) :: scratch

      call one_shell(padded(shells%n(s_j)) + lanes, shells%column(:, col_square, s_j), scratch%e_other)
      call one_shell(padded(shells%n(s_k)) + lanes, shells%column(:, col_square, s_k), scratch%e)

   contains

      subroutine one_shell(n, square, e)
         !> Neighbours of the shell, and their squared distances (Å²)
         integer, intent(in) :: n
         real(wp), intent(in) :: square(n)
         !> (n, exponents)
         real(wp), intent(inout) :: e(:, :)
         integer :: m

         do m = 1, angular%n_exponent
            if (angular%base(m) > 0) then
               call whole_powers(n, e(:, angular%base(m)), angular%power(m), e(:, m))
            else
               scratch%extra(:n, 1) = -angular%eta(m)*square
               call exponentials(n, scratch%extra(:, 1), e(:, m))
            end if
         end do
      end subroutine one_shell

   end subroutine pair_exponentials

   !> Fill a block with the triples of neighbours from j on, until it is full or there are no more
   subroutine make_block(angular, s_j, s_k, same, j, with_slopes, shells, scratch, block)
      type(angular_type), intent(in) :: angular
      !> As from `choose_rows`; first neighbour j
      integer, intent(in) :: s_j, s_k, j
      !> Each pair of neighbours once? Will the gradient be asked for?
      logical, intent(in) :: same, with_slopes
      type(shells_type), intent(in) :: shells
      type(behler_scratch_type), intent(inout) :: scratch
      type(triples_type), intent(inout) :: block
      integer :: i, l, n, row

      block%next = j
      call fill_rows(angular%third_side, angular%r_cut**2, same, shells%n(s_j), shells%n(s_k), size(shells%column, 1), &
         shells%column(:, :, s_j), shells%column(:, :, s_k), size(block%k), size(block%j), scratch%row, block%next, block%n, &
         block%n_rows, block%j, block%start, block%k, scratch%block(:, 1), scratch%block(:, 2), block%cosine, block%inverse, &
         block%weight)
      if (.not. angular%third_side) then
         do i = 1, angular%n_exponent
            do row = 1, block%n_rows
               do l = block%start(row) + 1, block%start(row + 1)
                  block%e(l, i) = scratch%e_other(block%j(row), i)*scratch%e(block%k(l), i)
               end do
            end do
         end do
      end if
      n = block%n + 1
      i = padded(block%n)
      block%k(n:i) = 1_i8
      block%cosine(n:i) = 0.0_wp
      block%inverse(n:i) = 0.0_wp
      block%weight(n:i) = 0.0_wp
      block%e(n:i, :) = 0.0_wp
      scratch%block(n:i, :) = angular%r_cut**2
      call finish_triples(angular, with_slopes, scratch%block(:, 2), scratch%block(:, 1), scratch%triples_work, block)
   end subroutine make_block

   !> Rows of triples from neighbour `next` on, until the block is full
   pure subroutine fill_rows(third_side, limit, same, n_j, n_k, n_most, of_j, of_k, n_room, n_row, row, next, n, n_rows, j, &
         start, k, s, third, cosine, inverse, weight)
      !> Only triples with a third side below the limit (Å²)? Each pair of neighbours once?
      logical, intent(in) :: third_side, same
      real(wp), intent(in) :: limit
      !> Neighbours j and k, and the room for them, for triples and for rows
      integer, intent(in) :: n_j, n_k, n_most, n_room, n_row
      !> Columns of the shells
      real(wp), intent(in) :: of_j(n_most, n_columns), of_k(n_most, n_columns)
      !> Scratch: r_j·r_k and r_jk² - limit of a row, Å²
      real(wp), intent(inout) :: row(n_most, 2)
      !> The block as in triples_type, the weight still without the third side
      integer, intent(inout) :: next
      integer, intent(out) :: n, n_rows
      integer, intent(inout) :: j(n_row), start(n_row + 1)
      integer(i8), intent(inout) :: k(n_room)
      !> s and r_jk² of the triples, Å²
      real(wp), intent(inout) :: s(n_room), third(n_room)
      real(wp), intent(inout) :: cosine(n_room), inverse(n_room), weight(n_room)
      real(wp) :: x, y, z, beyond, inverse_j, f_j
      integer(i8) :: last, l
      integer :: i, first, before

      n = 0
      n_rows = 0
      start(1) = 0
      do while (next <= n_j .and. n < block_triples)
         first = merge(next + 1, 1, same)
         x = of_j(next, col_x)
         y = of_j(next, col_y)
         z = of_j(next, col_z)
         beyond = of_j(next, col_square) - limit
         ! Whole vectors, no remainder: what is beyond the shell is far away
         !$omp simd
         do i = first, first + multiple(4, n_k - first + 1) - 1
            row(i, 1) = of_k(i, col_x)*x + of_k(i, col_y)*y + of_k(i, col_z)*z
            row(i, 2) = (of_k(i, col_square) + beyond) - 2.0_wp*row(i, 1)
         end do
         ! Each k is written, only the place depends on the sign of the second column: no branch to mispredict
         last = n + 1
         if (third_side) then
            do l = first, n_k, 4
               k(last) = l
               last = last + shiftr(transfer(row(l, 2), 0_i8), 63)
               k(last) = l + 1
               last = last + shiftr(transfer(row(l + 1, 2), 0_i8), 63)
               k(last) = l + 2
               last = last + shiftr(transfer(row(l + 2, 2), 0_i8), 63)
               k(last) = l + 3
               last = last + shiftr(transfer(row(l + 3, 2), 0_i8), 63)
            end do
         else
            do l = first, n_k
               k(last) = l
               last = last + 1
            end do
         end if
         before = n
         n = int(last - 1)
         inverse_j = of_j(next, col_inverse)
         f_j = 2.0_wp*of_j(next, col_f)
         !$omp simd private(l)
         do i = before + 1, before + multiple(4, n - before)
            l = k(i)
            third(i) = row(l, 2) + limit
            s(i) = 2.0_wp*(third(i) + row(l, 1))
            inverse(i) = inverse_j*of_k(l, col_inverse)
            cosine(i) = max(-1.0_wp, min(1.0_wp, row(l, 1)*inverse(i)))
            weight(i) = f_j*of_k(l, col_f)
         end do
         if (n > before) then
            n_rows = n_rows + 1
            j(n_rows) = next
            start(n_rows + 1) = n
         end if
         next = next + 1
      end do

   contains

      !> The least multiple of m that is at least n
      pure integer function multiple(m, n)
         integer, intent(in) :: m, n

         multiple = m*((n + m - 1)/m)
      end function multiple

   end subroutine fill_rows

end module tf_behler_angular
